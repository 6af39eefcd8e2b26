//! Notices that the configuration has changed, and reads it anew.
//!
//! The content is compared, not the time stamp or the inode: that sees an edit, a rename over the file and the symlink
//! swap of a ConfigMap alike, and a swap to the same content is no change. Must not: judge what a bad file means; its
//! caller keeps the old configuration.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::load::{Content, Loaded, Overlay};
use super::problem::Unusable;

/// How often the content is read. kubelet itself needs up to a minute to bring a changed ConfigMap to the node.
const INTERVAL: Duration = Duration::from_secs(3);

/// Watches one path.
pub struct Watch {
    path: PathBuf,
    environment: Environment,
    overlay: Overlay,
    seen: Content,
}

impl std::fmt::Debug for Watch {
    /// The content may hold secrets and so is left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Watch {
    /// Reads the path and begins to watch it. Both in one, so that no change can come in between.
    ///
    /// # Errors
    /// [`Unusable`] beside the watch where the content is not good.
    pub fn begin(path: PathBuf, environment: Environment, overlay: Overlay) -> (Self, Result<Loaded, Unusable>) {
        let seen = Content::read(&path);
        let loaded = seen.load(&path, &environment, &overlay);
        (Self { path, environment, overlay, seen }, loaded)
    }

    /// Waits for other content than was seen last, and reads it. Can be dropped and called again.
    ///
    /// # Errors
    /// [`Unusable`] where the new content is not good; the next change is waited for all the same.
    pub async fn changed(&mut self) -> Result<Loaded, Unusable> {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let content = Content::read(&self.path);
            if content != self.seen {
                self.seen = content;
                return self.seen.load(&self.path, &self.environment, &self.overlay);
            }
        }
    }

    /// Reads the configuration now, changed or not, as SIGHUP asks for.
    ///
    /// # Errors
    /// [`Unusable`] where it is not good.
    pub fn reload(&mut self) -> Result<Loaded, Unusable> {
        self.seen = Content::read(&self.path);
        self.seen.load(&self.path, &self.environment, &self.overlay)
    }
}
