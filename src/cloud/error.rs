//! Why a call to the cloud failed.
//!
//! What the codes mean stands in `verdict`. No message of a signature error is kept, since it echoes the string that was
//! signed.

use std::fmt;
use std::time::Duration;

use crate::error::diagnosis;
use crate::http::client::ClientError;

/// A failed call; as small as a pointer, since every success carries room for it.
#[derive(Debug)]
pub struct CloudError(Box<Details>);

/// What there is to know about a failed call.
#[derive(Debug)]
pub(crate) struct Details {
    /// The API's name, such as `AssumeRole`.
    pub(crate) action: &'static str,
    /// The host that was asked.
    pub(crate) host: String,
    /// What the call was about: a role or an instance.
    pub(crate) subject: Option<String>,
    /// Who made it.
    pub(crate) caller: Option<Caller>,
    /// The cloud's id of the call.
    pub(crate) request_id: Option<String>,
    /// What happened.
    pub(crate) problem: Problem,
}

/// Who made a call.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The ARN of a role, or words.
    name: String,
    /// Whether the role that was asked for is one before the registry's account is reached.
    before_registry: bool,
}

/// What happened to a call.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The cloud answered with an error.
    Refused {
        /// The HTTP status; 200 where the failure stood in the body only.
        status: u16,
        /// `Code`, or empty where the answer had none.
        code: String,
        /// `Message`, where it can be shown.
        message: Option<String>,
        /// The pause that was asked for.
        asked: Option<Duration>,
    },
    /// No answer came.
    Unreachable(ClientError),
    /// The answer is not what is documented.
    Unreadable(&'static str),
    /// The call could not be made.
    Impossible(&'static str),
}

impl From<Details> for CloudError {
    fn from(details: Details) -> Self {
        Self(Box::new(details))
    }
}

impl CloudError {
    /// The cloud's id of the call.
    pub(super) fn id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// What happened.
    pub(crate) const fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// The same with the cloud's id of the call, where the answer had one.
    pub(crate) fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.0.request_id = request_id;
        self
    }

    /// The same with the name of whoever made the call.
    pub(crate) fn called_by(mut self, caller: impl Into<String>) -> Self {
        self.0.caller = Some(Caller { name: caller.into(), before_registry: false });
        self
    }

    /// The same for a role of an account before that of the registry; once it is known who called.
    pub(crate) fn before_registry(mut self, before_registry: bool) -> Self {
        if let Some(caller) = &mut self.0.caller {
            caller.before_registry = before_registry;
        }
        self
    }

    /// An error answer, for tests of those who have to cope with it.
    #[cfg(test)]
    pub(crate) fn refused(action: &'static str, status: u16, code: &str) -> Self {
        let problem = Problem::Refused { status, code: code.to_owned(), message: None, asked: None };
        Details { action, host: "sts.aliyuncs.com".to_owned(), subject: None, caller: None, request_id: None, problem }
            .into()
    }

    /// No answer in time, for the same tests.
    #[cfg(test)]
    pub(crate) fn silent(action: &'static str) -> Self {
        let host = "sts.aliyuncs.com".to_owned();
        let silence = ClientError::Timeout { host: host.clone(), after: Duration::from_secs(10) };
        Details { action, host, subject: None, caller: None, request_id: None, problem: Problem::Unreachable(silence) }
            .into()
    }

    /// An answer that makes no sense, for the same tests.
    #[cfg(test)]
    pub(crate) fn unreadable(action: &'static str) -> Self {
        let problem = Problem::Unreadable("the answer is no JSON");
        Details { action, host: "sts.aliyuncs.com".to_owned(), subject: None, caller: None, request_id: None, problem }
            .into()
    }

    /// The API's name, such as `AssumeRole`.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.0.action
    }

    /// The cloud's error code; empty where there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        match &self.0.problem {
            Problem::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// The HTTP status of the answer, where one came.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match &self.0.problem {
            Problem::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Why there was no answer at all, where there was none.
    #[must_use]
    pub const fn network(&self) -> Option<&ClientError> {
        match &self.0.problem {
            Problem::Unreachable(error) => Some(error),
            _ => None,
        }
    }

    pub(super) fn is_throttled(&self) -> bool {
        match &self.0.problem {
            // STS throttles with a bare redirect, too (STS FAQ).
            Problem::Refused { status, code, .. } => {
                code.starts_with("Throttling") || matches!(status, 300..=399 | 429)
            }
            _ => false,
        }
    }

    pub(super) fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    pub(super) fn caller(&self) -> Option<&str> {
        self.0.caller.as_ref().map(|caller| caller.name.as_str())
    }

    /// The name under which the table of failures has the call.
    pub(super) fn listed_action(&self) -> &'static str {
        let before_registry = self.0.caller.as_ref().is_some_and(|caller| caller.before_registry);
        if before_registry { diagnosis::BEFORE_REGISTRY } else { self.0.action }
    }

    /// The host that was asked.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.0.host
    }
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: ", self.0.action, self.0.host)?;
        match &self.0.problem {
            Problem::Refused { status, code, message, .. } => {
                if self.is_throttled() {
                    f.write_str("throttled, ")?;
                }
                write!(f, "{status}")?;
                if !code.is_empty() {
                    write!(f, " {code}")?;
                }
                if let Some(message) = message {
                    write!(f, " \"{message}\"")?;
                }
            }
            Problem::Unreachable(_) => f.write_str("no answer")?,
            Problem::Unreadable(what) | Problem::Impossible(what) => f.write_str(what)?,
        }
        match &self.0.request_id {
            Some(id) => write!(f, " (request id {id})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CloudError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.problem {
            Problem::Unreachable(error) => Some(error),
            _ => None,
        }
    }
}
