//! The vocabulary every error of the daemon answers in: who must act, whether trying again can help, and what to do.
//!
//! Each module keeps a small error enum of its own and implements [`Explain`] for it. Nothing here knows HTTP: the one
//! place where an error becomes a response is `proxy::respond`.

pub mod diagnosis;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use diagnosis::{Names, Row};

/// Any error, boxed; used above the layer where callers still branch on the kind.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// How every sentence of the daemon to its clients begins, so that a pod's event tells who is speaking.
pub const SPEAKER: &str = "acr-pull-proxy: ";

/// Who has to act for the failure to go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client sent something that can never work.
    Client,
    /// This node: its configuration, its token file, its clock.
    Node,
    /// Account A, which owns the node and the first role.
    NodeAccount,
    /// Account B, which owns the registry instance and the last role.
    RegistryAccount,
    /// Account A or account B, where the cloud does not tell which of the two.
    EitherAccount,
    /// The network between the node and the cloud: names, routes, TLS.
    Network,
    /// The cloud itself: throttling, outages, answers that break its own documentation.
    Cloud,
}

impl Blame {
    /// The word used in messages, logs and the status page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Node => "node",
            Self::NodeAccount => "account A",
            Self::RegistryAccount => "account B",
            Self::EitherAccount => "account A or B",
            Self::Network => "network",
            Self::Cloud => "cloud",
        }
    }
}

impl Blame {
    /// The one that is called by this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        const ALL: [Blame; 7] = [
            Blame::Client,
            Blame::Node,
            Blame::NodeAccount,
            Blame::RegistryAccount,
            Blame::EitherAccount,
            Blame::Network,
            Blame::Cloud,
        ];
        ALL.into_iter().find(|blame| blame.as_str() == word)
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether asking again may give another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not before somebody changes something.
    Never,
    /// Yes, with a credential, nonce, clock or URL that is new.
    Renewed,
    /// Yes, the same request, after a pause of our own choosing or the one the other side asked for.
    Later(Option<Duration>),
}

/// An error that can be explained to the person who has to act on it.
pub trait Explain: Error {
    /// The row of the table of all failures that this one belongs to.
    fn row(&self) -> &'static Row;

    /// Whether trying again may help.
    fn retry(&self) -> Retry;

    /// The names that its fix speaks of.
    fn names(&self) -> Names<'_> {
        Names::default()
    }

    /// Who has to act.
    fn blame(&self) -> Blame {
        self.row().who
    }

    /// The request id that the cloud gave the failed call, for a support ticket or the audit log.
    fn request_id(&self) -> Option<&str> {
        None
    }

    /// The next step, as one imperative sentence without a full stop.
    fn advice(&self) -> Option<Cow<'_, str>> {
        Some(self.row().fix(&self.names()))
    }
}

/// An error and all of its causes on one line, outermost first, for logs.
///
/// `Display` of our errors prints one level only; this prints the chain.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The first cause of type `E` in the chain of `error`, itself included.
#[must_use]
pub fn cause_ref<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        current = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{cause_ref, chain};

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[test]
    fn the_chain_names_every_cause_once() {
        assert_eq!(chain(&Outer(Inner)), "outer: inner");
    }

    #[test]
    fn a_cause_is_found_by_type_at_any_depth() {
        assert!(cause_ref::<Inner>(&Outer(Inner)).is_some());
        assert!(cause_ref::<Outer>(&Inner).is_none());
    }
}
