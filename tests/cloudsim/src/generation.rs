//! Generations of bearers, so that a test can make the registry refuse all that were issued so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::issue;

/// A shared counter that goes into the identifier (`jti`) of each bearer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Generation(Arc<AtomicU32>);

impl Generation {
    /// Ends the present generation: what was stamped so far is no longer current.
    pub(crate) fn end(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// An unpredictable identifier of the present generation.
    pub(crate) fn stamp(&self) -> String {
        format!("{:08X}{}", self.0.load(Ordering::Acquire), issue::bearer_id())
    }

    /// Whether an identifier was stamped in the present generation.
    pub(crate) fn is_current(&self, stamp: &str) -> bool {
        stamp.get(..8).and_then(|number| u32::from_str_radix(number, 16).ok()) == Some(self.0.load(Ordering::Acquire))
    }
}
