//! What was found of one step: how it ended, where and when, who has to act and what to do.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::error::diagnosis::{Names, Row, Sign};
use crate::error::{Explain, chain};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok,
    /// Nothing is wrong with it; worth knowing.
    Note,
    /// It works, and should be looked at.
    Warning,
    Failed,
    /// Not looked at.
    Skipped,
}

impl Outcome {
    /// The word and its colour (ANSI), all words of one width.
    pub(super) const fn sign(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("ok  ", "\x1b[32m"),
            Self::Note => ("note", "\x1b[36m"),
            Self::Warning => ("WARN", "\x1b[33m"),
            Self::Failed => ("FAIL", "\x1b[1;31m"),
            Self::Skipped => ("-   ", "\x1b[2m"),
        }
    }
}

/// What was found of one step.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) section: String,
    pub(super) step: String,
    pub(super) outcome: Outcome,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    milliseconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip)]
    lasts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) who: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Finding {
    fn new(outcome: Outcome, step: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            section: String::new(),
            step: step.into(),
            outcome,
            text: text.into(),
            milliseconds: None,
            endpoint: None,
            expires: None,
            lasts: None,
            request_id: None,
            who: None,
            cause: None,
            fix: None,
        }
    }

    pub(super) fn good(step: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Outcome::Ok, step, text)
    }

    pub(super) fn note(step: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Outcome::Note, step, text)
    }

    pub(super) fn skipped(step: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Outcome::Skipped, step, text)
    }

    pub(super) fn warning(step: impl Into<String>, text: impl Into<String>, sign: Sign) -> Self {
        Self::new(Outcome::Warning, step, text).because(Row::of(sign), None)
    }

    pub(super) fn failed(step: impl Into<String>, text: impl Into<String>, sign: Sign) -> Self {
        Self::new(Outcome::Failed, step, text).because(Row::of(sign), None)
    }

    /// A failure that an error explains.
    pub(super) fn error(step: impl Into<String>, error: &(impl Explain + 'static)) -> Self {
        let advice = error.advice().map(Cow::into_owned);
        let mut finding = Self::new(Outcome::Failed, step, chain(error)).because(error.row(), advice);
        finding.request_id = error.request_id().map(str::to_owned);
        finding
    }

    /// Who, cause and fix of a row; the row's own fix with general words where there is no better one.
    pub(super) fn because(mut self, row: &'static Row, fix: Option<String>) -> Self {
        self.who = Some(row.who.as_str().into());
        self.cause = Some(row.cause.into());
        self.fix = Some(fix.unwrap_or_else(|| row.fix(&Names::default()).into_owned()));
        self
    }

    /// The same with other words for what to do.
    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// The same with somebody else's word on who has to act and on the cause, as far as there is one.
    pub(super) fn said(self, who: Option<String>, cause: Option<String>) -> Self {
        Self { who: who.map(Cow::Owned), cause: cause.map(Cow::Owned), ..self }
    }

    /// The same as a warning, where it failed and something else does its work.
    pub(super) fn softened(self) -> Self {
        let outcome = if self.outcome == Outcome::Failed { Outcome::Warning } else { self.outcome };
        Self { outcome, ..self }
    }

    /// Whom was asked, and how long it took.
    pub(super) fn asked(self, endpoint: impl Into<String>, took: Option<Duration>) -> Self {
        Self { endpoint: Some(endpoint.into()), milliseconds: took.map(|took| took.as_secs_f64() * 1000.0), ..self }
    }

    /// The id of the call, unless a better one is known.
    pub(super) fn id(mut self, request_id: Option<String>) -> Self {
        self.request_id = self.request_id.or(request_id);
        self
    }

    /// Until when what was got is good.
    pub(super) fn until(mut self, expires: Timestamp, now: Timestamp) -> Self {
        if expires != Timestamp::MAX {
            self.expires = Some(format!("{expires:.0}"));
            let left = Duration::from_secs(crate::clock::until(now, expires).as_secs());
            self.lasts = Some(format!("{}m{:02}s", left.as_secs() / 60, left.as_secs() % 60));
        }
        self
    }

    /// Time, place and id, as far as they are known.
    pub(super) fn particulars(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.milliseconds.map(|took| format!("{took:.1} ms")));
        parts.extend(self.endpoint.as_ref().map(|endpoint| format!("at {endpoint}")));
        if let (Some(expires), Some(lasts)) = (&self.expires, &self.lasts) {
            parts.push(format!("good for {lasts}, until {expires}"));
        }
        parts.extend(self.request_id.as_ref().map(|id| format!("request id {id}")));
        parts.join(", ")
    }
}
