//! The words of the OCI distribution spec, as types whose constructors parse, so that nothing is checked twice.
//!
//! Pure: no I/O, no runtime. Nobody else in the daemon splits a path, a reference or a challenge by hand.

mod challenge;
pub mod error_body;
mod image;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
mod name;
mod percent;
mod reference;
mod request;

pub use challenge::Challenge;
pub use image::ImageName;
pub use name::{InstanceId, RegistryHost};
pub use reference::{Digest, Reference, RepositoryName, Scope, Tag};
pub use request::{Endpoint, Name, Namespace, RegistryRequest, RequestError, Resource};

/// Why a text is not the thing it was taken for; says which rule it breaks, never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct Malformed {
    what: &'static str,
    rule: &'static str,
}

impl Malformed {
    pub(crate) const fn new(what: &'static str, rule: &'static str) -> Self {
        Self { what, rule }
    }
}
