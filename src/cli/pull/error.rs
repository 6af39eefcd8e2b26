//! Why an image did not come, who has to act, and what to do next.

use oci_client::errors::OciDistributionError;
use serde::Serialize;

use super::image::Mirror;
use crate::error::diagnosis::{Row, Sign};
use crate::error::{Blame, SPEAKER, chain};
use crate::http::client::is_certificate;
use crate::oci::error_body;

/// Why an image did not come: in the daemon's own words where it said something, and the next step.
#[derive(Debug, Serialize, thiserror::Error)]
#[error("{error}")]
pub(in crate::cli) struct PullError {
    pub(in crate::cli) error: String,
    /// Who has to act, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) who: Option<&'static str>,
    /// The likely cause, where the daemon has not said it itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::cli) cause: Option<&'static str>,
    pub(in crate::cli) next: &'static str,
}

/// The next step where the daemon's own words do not say it.
pub(in crate::cli) const WHOLE_STORY: &str = "run `acr-pull-proxy doctor --image` with this image for the whole story";

impl PullError {
    pub(super) fn new(error: impl Into<String>, next: &'static str) -> Self {
        Self { error: error.into(), who: None, cause: None, next }
    }

    /// A failure that has a row in the table; its fix holds no name to be filled in.
    fn of(error: impl Into<String>, sign: Sign) -> Self {
        let row = Row::of(sign);
        Self { error: error.into(), who: Some(row.who.as_str()), cause: Some(row.cause), next: row.fix }
    }

    /// What the daemon answered; its words begin with who has to act.
    fn said(message: String) -> Self {
        let words = message.strip_prefix(SPEAKER).and_then(|rest| rest.split_once(": ")).map(|(who, _)| who);
        let who = words.and_then(Blame::parse).map(Blame::as_str);
        Self { who, ..Self::new(message, WHOLE_STORY) }
    }
}

/// What a failure of the client means.
pub(super) fn explain(mirror: &Mirror, error: &OciDistributionError) -> PullError {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            PullError::said(envelope.errors.first().map(|error| error.message.clone()).unwrap_or_default())
        }
        OciDistributionError::ServerError { code, message, .. } => match error_body::first(message.as_bytes()) {
            Some(said) => PullError::said(said.message),
            None => PullError::new(format!("{mirror} answers {code} and no reason"), "check what listens there"),
        },
        OciDistributionError::RequestError(error) if is_certificate(error) => {
            PullError::of(format!("no TLS with {mirror}: {}", chain(error)), Sign::DaemonTls)
        }
        OciDistributionError::RequestError(error) if error.is_connect() => {
            PullError::of(format!("the daemon does not answer at {mirror}"), Sign::DaemonSilent)
        }
        OciDistributionError::RequestError(error) => PullError::of(chain(error), Sign::BodyCut),
        OciDistributionError::DigestError(error) => PullError::of(error.to_string(), Sign::WrongBytes),
        OciDistributionError::ImageManifestNotFoundError(_) => {
            PullError::new("the image has no manifest for this platform", "name one that it has with --platform")
        }
        other => PullError::new(other.to_string(), WHOLE_STORY),
    }
}
