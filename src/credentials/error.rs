//! Why there are no credentials.

use std::sync::Arc;

use crate::cloud::CloudError;
use crate::error::diagnosis::{Names, Row, Sign};
use crate::error::{Explain, Retry};
use crate::refresh::Interrupted;

/// Why there are no credentials. Only [`NotConfigured`](Self::NotConfigured) lets a chain go on to its next source.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The source is not there on this node, and nobody said that it should be.
    #[error("{hop}: {what}")]
    NotConfigured {
        /// The source.
        hop: String,
        /// What is missing.
        what: String,
    },
    /// The source is there, but what it holds cannot be used.
    #[error("{hop}: {what}")]
    Invalid {
        /// The source.
        hop: String,
        /// What is wrong, with the file or field.
        what: String,
    },
    /// The service-account token cannot be read.
    #[error("{hop}: {what}")]
    TokenFile {
        /// The role it is for.
        hop: String,
        /// What is wrong, with the file.
        what: String,
    },
    /// The cloud decided against it; somebody has to change something.
    #[error("{hop} is denied")]
    Denied {
        /// The source or role.
        hop: String,
        /// The cloud's answer.
        #[source]
        error: CloudError,
    },
    /// The cloud did not get as far as a decision.
    #[error("{hop} is not available")]
    Unavailable {
        /// The source or role.
        hop: String,
        /// What happened.
        #[source]
        error: CloudError,
    },
    /// None of the possible sources is configured.
    #[error("no source of a first credential is configured; tried: {}", list(.attempts))]
    Exhausted {
        /// What each of them lacked.
        attempts: Vec<Arc<CredentialsError>>,
    },
    /// The daemon is going down.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl CredentialsError {
    /// The error of a call for `hop`.
    #[must_use]
    pub fn from_cloud(hop: impl Into<String>, error: CloudError) -> Self {
        let hop = hop.into();
        match error.retry() {
            Retry::Later(_) => Self::Unavailable { hop, error },
            Retry::Never | Retry::Renewed => Self::Denied { hop, error },
        }
    }
}

impl CredentialsError {
    /// The level at fault; `None` where it is no single one.
    pub(crate) fn hop(&self) -> Option<&str> {
        match self {
            Self::NotConfigured { hop, .. }
            | Self::Invalid { hop, .. }
            | Self::TokenFile { hop, .. }
            | Self::Denied { hop, .. }
            | Self::Unavailable { hop, .. } => Some(hop),
            Self::Exhausted { .. } | Self::Interrupted(_) => None,
        }
    }
}

fn list(attempts: &[Arc<CredentialsError>]) -> String {
    attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Explain for CredentialsError {
    fn row(&self) -> &'static Row {
        match self {
            Self::Denied { error, .. } | Self::Unavailable { error, .. } => error.row(),
            Self::NotConfigured { .. } | Self::Exhausted { .. } => Row::of(Sign::NoCredentials),
            Self::Invalid { .. } => Row::of(Sign::CredentialsInvalid),
            Self::TokenFile { .. } => Row::of(Sign::TokenFile),
            Self::Interrupted(_) => Row::of(Sign::Interrupted),
        }
    }

    fn names(&self) -> Names<'_> {
        match self {
            Self::Denied { error, .. } | Self::Unavailable { error, .. } => error.names(),
            _ => Names::default(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // A file may be written a moment later, and a role be attached to a running node.
            Self::NotConfigured { .. }
            | Self::Invalid { .. }
            | Self::TokenFile { .. }
            | Self::Exhausted { .. }
            | Self::Interrupted(_) => Retry::Later(None),
            Self::Denied { error, .. } | Self::Unavailable { error, .. } => error.retry(),
        }
    }

    fn request_id(&self) -> Option<&str> {
        match self {
            Self::Denied { error, .. } | Self::Unavailable { error, .. } => error.request_id(),
            _ => None,
        }
    }
}
