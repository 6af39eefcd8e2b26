//! The client token on its way from its file to the face: read at the start, on every change, and when a caller shows
//! one that is not known.
//!
//! A file that is absent or unusable is no reason to end, since the installer may be about to make it: the address stays
//! closed to everybody, the daemon is not ready, and the log says what to run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Task;
use crate::config::client_token;
use crate::proxy::{Callers, ReadToken};
use crate::telemetry::readiness::Latch;

/// How often the file is looked into, as often as the configuration. A caller who knows a newer token does not wait for
/// it.
const INTERVAL: Duration = Duration::from_secs(3);

/// Keeps the token of the face up to date.
#[derive(Debug)]
pub(super) struct TokenWatch {
    callers: Arc<Callers>,
    file: Mutex<Option<PathBuf>>,
    _looking: Task,
}

impl TokenWatch {
    /// Demands the token in `file`, or none. `latch` is held until there is one, or none is needed. Needs a runtime.
    pub(super) fn start(file: Option<PathBuf>, latch: Latch) -> Self {
        let callers = Callers::everybody();
        callers.demand(file.as_deref().map(reader));
        let looking = {
            let callers = Arc::clone(&callers);
            async move {
                let mut latch = Some(latch);
                loop {
                    if callers.renew().await {
                        drop(latch.take());
                    }
                    tokio::time::sleep(INTERVAL).await;
                }
            }
        };
        Self { callers, file: Mutex::new(file), _looking: Task(tokio::spawn(looking)) }
    }

    pub(super) fn callers(&self) -> Arc<Callers> {
        Arc::clone(&self.callers)
    }

    /// Goes over to the file of another configuration.
    pub(super) fn reload(&self, file: Option<&Path>) {
        let mut known = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != file {
            self.callers.demand(file.map(reader));
            *known = file.map(Path::to_path_buf);
        }
    }
}

/// Reads the token, and says what is wrong with it once, not at every look.
fn reader(path: &Path) -> Box<ReadToken> {
    let path = path.to_path_buf();
    let told = Mutex::new(None);
    Box::new(move || {
        let read = client_token(&path);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(token) => {
                *told = None;
                Some(token)
            }
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    tracing::error!(error = text, advice = error.advice(), "no client token can be read");
                    *told = Some(text);
                }
                None
            }
        }
    })
}
