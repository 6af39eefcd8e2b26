//! Notices that the configuration has changed, and reads it anew.
//!
//! The content is compared, not the time stamp or the inode: that sees an edit, a rename over the file and the symlink
//! swap of a ConfigMap alike, and a swap to the same content is no change. Must not: judge what a bad file means; its
//! caller keeps the old configuration.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

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
    interval: tokio::time::Interval,
}

impl std::fmt::Debug for Watch {
    /// The content may hold secrets and so is left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins to watch; the content of this moment counts as known. Needs a runtime.
    #[must_use]
    pub fn new(path: PathBuf, environment: Environment, overlay: Overlay) -> Self {
        let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let seen = Content::read(&path);
        Self { path, environment, overlay, seen, interval }
    }

    /// Waits for other content than was seen last, and reads it. Can be dropped and called again.
    ///
    /// # Errors
    /// [`Unusable`] where the new content is not good; the next change is waited for all the same.
    pub async fn changed(&mut self) -> Result<Loaded, Unusable> {
        loop {
            self.interval.tick().await;
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
