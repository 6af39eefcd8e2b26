//! Why no response head came, told apart as far as it leads to different advice.

use std::time::Duration;

use crate::error::diagnosis::{Names, Row, Sign};
use crate::error::{BoxError, Explain, Retry};
use crate::http::address::Forbidden;

/// Why no response head came.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name has no address.
    #[error("cannot resolve {host}")]
    Unresolved {
        /// The name that was dialled.
        host: String,
        /// What the resolver said.
        #[source]
        source: BoxError,
    },
    /// Nobody answers for the name.
    #[error("no name server answers for {host}")]
    NoNameServer {
        /// The name that was dialled.
        host: String,
    },
    /// The name leads to an address that no name may lead to.
    #[error("refused to connect to {host}")]
    Forbidden {
        /// The name that was to be dialled.
        host: String,
        /// Where it leads to.
        #[source]
        source: Forbidden,
    },
    /// No connection: route, refused, TLS.
    #[error("cannot connect to {host}")]
    Connect {
        /// The name that was dialled.
        host: String,
        /// What stood in the way.
        #[source]
        source: BoxError,
    },
    /// The connection broke before the response head.
    #[error("connection closed without an answer by {host}")]
    Closed {
        /// The name that was asked.
        host: String,
        /// What was seen.
        #[source]
        source: BoxError,
    },
    /// The response head did not come in time.
    #[error("no answer within {after:?} from {host}")]
    Timeout {
        /// The name that was asked.
        host: String,
        /// How long was waited.
        after: Duration,
    },
}

impl Explain for ClientError {
    fn row(&self) -> &'static Row {
        Row::of(match self {
            _ if self.is_certificate() => Sign::Certificate,
            Self::Unresolved { .. } => Sign::NameUnknown,
            Self::NoNameServer { .. } => Sign::NameServerSilent,
            Self::Forbidden { .. } => Sign::AddressForbidden,
            Self::Connect { .. } => Sign::NoConnection,
            Self::Closed { .. } => Sign::Closed,
            Self::Timeout { .. } => Sign::Silence,
        })
    }

    fn names(&self) -> Names<'_> {
        let (Self::Unresolved { host, .. }
        | Self::NoNameServer { host }
        | Self::Forbidden { host, .. }
        | Self::Connect { host, .. }
        | Self::Closed { host, .. }
        | Self::Timeout { host, .. }) = self;
        Names { host: Some(host), ..Names::default() }
    }

    fn retry(&self) -> Retry {
        Retry::Later(None)
    }
}

impl ClientError {
    /// Whether no connection came about, for whatever reason, so that nothing was asked of anybody.
    #[must_use]
    pub const fn is_connect(&self) -> bool {
        match self {
            Self::Unresolved { .. } | Self::NoNameServer { .. } | Self::Forbidden { .. } | Self::Connect { .. } => true,
            Self::Closed { .. } | Self::Timeout { .. } => false,
        }
    }

    /// Whether the other side's certificate was not accepted.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        is_certificate(self)
    }
}

/// Whether an error, or a cause of it, is that a certificate was not accepted.
#[must_use]
pub fn is_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            // An I/O error shows what it wraps as its own text, and only the source of that as its source.
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}
