//! Why a pull could not be served, as far as the registry and the bucket know.
//!
//! Each text says the point first and the host last, since the face cuts it to what fits into a reason phrase.

use std::sync::Arc;

use http::StatusCode;

use crate::error::diagnosis::{Names, Row, Sign};
use crate::error::{Blame, Explain, Retry, chain};
use crate::http::body::CollectError;
use crate::http::client::ClientError;
use crate::http::origin::UriError;
use crate::oci::RepositoryName;
use crate::oci::error_body::{ErrorCode, UpstreamMessage};
use crate::token::TokenError;

/// Why the upstream of an instance gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The configuration does not allow this repository.
    #[error("repository {0} is not in the list of allowed repositories")]
    NotAllowed(RepositoryName),
    /// There is no bearer to ask with.
    #[error("{0}")]
    Token(Arc<TokenError>),
    /// The registry refused the pull, also with a bearer made for the purpose.
    #[error("the registry denies the pull{} ({host})", said(.message))]
    Denied {
        /// Who refused.
        host: String,
        /// Its words.
        message: Option<UpstreamMessage>,
    },
    /// There is no such thing.
    #[error("not found in the registry{} ({host})", said(.message))]
    NotFound {
        /// Who was asked.
        host: String,
        /// Its words.
        message: Option<UpstreamMessage>,
    },
    /// Another 4xx, which asking again does not change.
    #[error("the registry answered {}{} ({host})", .status.as_u16(), said(.message))]
    Refused {
        /// Who answered.
        host: String,
        /// Its status.
        status: StatusCode,
        /// Its words.
        message: Option<UpstreamMessage>,
    },
    /// 429 until the budget was used up.
    #[error("throttled by {host}")]
    Throttled {
        /// Who throttles.
        host: String,
    },
    /// 5xx until the budget was used up.
    #[error("status {} from {host}", .status.as_u16())]
    Broken {
        /// Who answered.
        host: String,
        /// Its status.
        status: StatusCode,
    },
    /// No response head.
    #[error(transparent)]
    Unreachable(#[from] ClientError),
    /// The whole took longer than the client can be kept waiting.
    #[error("no answer from the registry in time")]
    Late,
    /// The registry sent the client to a place that bytes may not come from.
    #[error("redirect refused, {rule} ({host})")]
    RedirectRefused {
        /// Where to.
        host: String,
        /// Which rule it breaks.
        rule: &'static str,
    },
    /// The registry sent a redirect that cannot be read.
    #[error("unusable redirect, {source} ({host})")]
    RedirectMalformed {
        /// Who sent it.
        host: String,
        /// What is wrong with it.
        source: UriError,
    },
    /// The bucket refused a URL that had just been signed.
    #[error("the bucket refused a fresh URL with {} {code} ({host})", .status.as_u16())]
    BucketRefused {
        /// Which bucket.
        host: String,
        /// Its status.
        status: StatusCode,
        /// OSS' error code; empty where there was none.
        code: String,
        /// OSS' request id.
        request_id: Option<String>,
    },
    /// An answer that breaks the protocol.
    #[error("unusable answer, {what} ({host})")]
    Unexpected {
        /// Who sent it.
        host: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A manifest that could not be read to its end, or is too long.
    #[error("the manifest could not be read, {source} ({host})")]
    Manifest {
        /// Who sent it.
        host: String,
        /// What stood in the way.
        source: CollectError,
    },
    /// The error of a request that several waited for.
    #[error(transparent)]
    Shared(Arc<Self>),
}

/// The kinds of failure that a client is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A right is missing, which somebody has to grant.
    Denied,
    /// There is nothing to ask the registry with, for now.
    NoCredentials,
    /// There is no such content; the registry's code, where it is one of the spec's.
    NotFound(Option<ErrorCode>),
    /// The registry refused the request itself.
    Refused(StatusCode),
    /// The other side throttles.
    Throttled,
    /// There was no answer in time.
    Late,
    /// There was no answer, or none that could be used.
    Broken,
}

impl UpstreamError {
    /// The error with all of its causes, for the log.
    #[must_use]
    pub fn details(&self) -> String {
        match self {
            // Its own text repeats the token's error, whose causes are what is missing.
            Self::Token(error) => chain(&**error),
            Self::Shared(error) => error.details(),
            other => chain(other),
        }
    }

    /// Which kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Shared(error) => error.kind(),
            Self::NotAllowed(_) | Self::Denied { .. } => ErrorKind::Denied,
            // A right that an account has to grant is no outage: asking elsewhere or later changes nothing.
            Self::Token(error)
                if error.retry() == Retry::Never
                    && matches!(error.blame(), Blame::NodeAccount | Blame::RegistryAccount | Blame::EitherAccount) =>
            {
                ErrorKind::Denied
            }
            Self::Token(_) => ErrorKind::NoCredentials,
            // Somebody else may have it.
            Self::BucketRefused { status: StatusCode::NOT_FOUND, .. } => ErrorKind::NotFound(None),
            Self::NotFound { message, .. } => {
                ErrorKind::NotFound(message.as_ref().and_then(|message| ErrorCode::parse(&message.code)))
            }
            Self::Refused { status, .. } => ErrorKind::Refused(*status),
            Self::Throttled { .. } => ErrorKind::Throttled,
            Self::Unreachable(ClientError::Timeout { .. }) | Self::Late => ErrorKind::Late,
            Self::Unreachable(_)
            | Self::Broken { .. }
            | Self::RedirectRefused { .. }
            | Self::RedirectMalformed { .. }
            | Self::BucketRefused { .. }
            | Self::Unexpected { .. }
            | Self::Manifest { .. } => ErrorKind::Broken,
        }
    }
}

/// What the upstream said, as the tail of a sentence.
fn said(message: &Option<UpstreamMessage>) -> String {
    match message {
        Some(UpstreamMessage { message, .. }) if !message.is_empty() => format!(": {message}"),
        Some(UpstreamMessage { code, .. }) if !code.is_empty() => format!(": {code}"),
        _ => String::new(),
    }
}

impl Explain for UpstreamError {
    fn row(&self) -> &'static Row {
        Row::of(match self {
            Self::BucketRefused { code, .. } => return Row::of_bucket(code),
            Self::Shared(error) => return error.row(),
            Self::Token(error) => return error.row(),
            Self::Unreachable(error) => return error.row(),
            Self::NotAllowed(_) => Sign::NotAllowed,
            Self::Denied { .. } => Sign::PullDenied,
            Self::NotFound { .. } => Sign::NotFound,
            Self::Refused { .. } => Sign::RequestRefused,
            Self::Throttled { .. } => Sign::RegistryThrottled,
            Self::Broken { .. } => Sign::RegistryFailed,
            Self::Late => Sign::Silence,
            Self::RedirectRefused { .. } => Sign::RedirectForeign,
            Self::RedirectMalformed { .. } | Self::Unexpected { .. } | Self::Manifest { .. } => {
                Sign::RegistryUnreadable
            }
        })
    }

    fn names(&self) -> Names<'_> {
        match self {
            Self::Shared(error) => error.names(),
            Self::Token(error) => error.names(),
            Self::Unreachable(error) => error.names(),
            Self::NotAllowed(repository) => Names { repository: Some(repository.as_str()), ..Names::default() },
            Self::Late => Names::default(),
            Self::Denied { host, .. }
            | Self::NotFound { host, .. }
            | Self::Refused { host, .. }
            | Self::Throttled { host }
            | Self::Broken { host, .. }
            | Self::RedirectRefused { host, .. }
            | Self::RedirectMalformed { host, .. }
            | Self::BucketRefused { host, .. }
            | Self::Unexpected { host, .. }
            | Self::Manifest { host, .. } => Names { host: Some(host), ..Names::default() },
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Shared(error) => error.retry(),
            Self::Token(error) => error.retry(),
            Self::Unreachable(error) => error.retry(),
            Self::Throttled { .. } | Self::Broken { .. } | Self::Late | Self::Manifest { .. } => Retry::Later(None),
            Self::BucketRefused { status, .. } if *status != StatusCode::NOT_FOUND => Retry::Renewed,
            _ => Retry::Never,
        }
    }

    fn request_id(&self) -> Option<&str> {
        match self {
            Self::Shared(error) => error.request_id(),
            Self::Token(error) => error.request_id(),
            Self::BucketRefused { request_id, .. } => request_id.as_deref(),
            _ => None,
        }
    }
}
