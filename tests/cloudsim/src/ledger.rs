//! Every secret the registry half has handed out: bearers and blob-URL signatures. Tests grep the daemon's output for them.

use std::sync::{Arc, Mutex, PoisonError};

/// The most secrets kept; a benchmark is given millions of signatures and looks at none.
const MOST_SECRETS: usize = 50_000;

/// A shared, append-only list.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<String>>>);

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Ledger")
    }
}

impl Ledger {
    /// Remembers one secret as a client sees it.
    pub(crate) fn note(&self, secret: &str) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < MOST_SECRETS {
            list.push(secret.to_owned());
        }
    }

    /// Everything noted so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
