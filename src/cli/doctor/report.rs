//! What was found, for people and for programs.

use std::borrow::Cow;
use std::io::{self, IsTerminal};
use std::time::Duration;

use serde::Serialize;

use crate::cli::Form;
use crate::cli::output::{Failure, print};
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
    const fn sign(self) -> (&'static str, &'static str) {
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
    section: String,
    step: String,
    pub(super) outcome: Outcome,
    text: String,
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
    who: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
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
        let advice = error.advice().map(std::borrow::Cow::into_owned);
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
    fn particulars(&self) -> String {
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

/// The answer for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    not_seen: &'a [&'static str],
    findings: &'a [Finding],
}

/// Tells people as it goes, and keeps everything for programs.
#[derive(Debug)]
pub(super) struct Report {
    form: Form,
    colour: bool,
    section: String,
    findings: Vec<Finding>,
    /// What should have been looked at and could not be.
    not_seen: Vec<&'static str>,
}

impl Report {
    pub(super) fn new(form: Form, no_colour: bool) -> Self {
        let colour = !no_colour && form == Form::Text && io::stdout().is_terminal();
        Self { form, colour, section: String::new(), findings: Vec::new(), not_seen: Vec::new() }
    }

    pub(super) fn section(&mut self, name: &str) {
        name.clone_into(&mut self.section);
        let separator = if self.findings.is_empty() { "" } else { "\n" };
        self.tell(&format!("{separator}{}\n", self.painted("\x1b[1m", name)));
    }

    pub(super) fn add(&mut self, mut finding: Finding) {
        self.section.clone_into(&mut finding.section);
        self.tell(&self.lines(&finding));
        self.findings.push(finding);
    }

    pub(super) fn add_all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.add(finding);
        }
    }

    /// Something that decides on pulls cannot be seen from here, which the last sentence says.
    pub(super) fn not_seen(&mut self, what: &'static str) {
        self.not_seen.push(what);
    }

    pub(super) fn failures(&self) -> usize {
        self.findings.iter().filter(|finding| finding.outcome == Outcome::Failed).count()
    }

    pub(super) fn answer(&self) -> Answer<'_> {
        Answer { ok: self.failures() == 0, not_seen: &self.not_seen, findings: &self.findings }
    }

    /// One sentence at the end.
    pub(super) fn summary(&self) -> Result<(), Failure> {
        if self.form == Form::Json {
            return Ok(());
        }
        print(&self.conclusion())
    }

    fn conclusion(&self) -> String {
        let mut text = match self.failures() {
            0 => "\nEverything that was looked at works.\n".to_owned(),
            1 => "\nOne step failed; the lines under it say who has to act.\n".to_owned(),
            failures => format!("\n{failures} steps failed; begin with the first, the others may follow from it.\n"),
        };
        for what in &self.not_seen {
            text.push_str(&format!("Not known from here: {what}.\n"));
        }
        text
    }

    fn lines(&self, finding: &Finding) -> String {
        let (word, colour) = finding.outcome.sign();
        let mut text = format!("  {}  {}: {}\n", self.painted(colour, word), finding.step, finding.text);
        // Lines to paste stay below each other.
        let mut line = |name: &str, content: &str| {
            text.push_str(&format!("        {name}{}\n", content.replace('\n', "\n        ")));
        };
        let particulars = finding.particulars();
        if !particulars.is_empty() {
            line("", &particulars);
        }
        for (name, content) in [("who:   ", &finding.who), ("cause: ", &finding.cause)] {
            if let Some(content) = content {
                line(name, content);
            }
        }
        if let Some(fix) = &finding.fix {
            line("fix:   ", fix);
        }
        text
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
    }

    fn tell(&self, text: &str) {
        if self.form == Form::Text {
            // Standard output that is gone is noticed with the summary.
            print(text).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Report};
    use crate::cli::Form;
    use crate::error::diagnosis::Sign;

    #[test]
    fn a_failure_says_who_why_and_what_to_do_and_colour_only_paints_the_word() {
        let mut report = Report {
            form: Form::Json,
            colour: false,
            section: String::new(),
            findings: Vec::new(),
            not_seen: Vec::new(),
        };
        let finding = Finding::failed("token file", "it is not there", Sign::TokenFile);
        let plain = report.lines(&finding);
        assert!(plain.starts_with("  FAIL  token file: it is not there\n        who:   node\n"), "{plain}");
        assert!(plain.contains("cause: ") && plain.contains("fix:   mount a projected"), "{plain}");
        report.colour = true;
        assert!(report.lines(&finding).starts_with("  \u{1b}[1;31mFAIL\u{1b}[0m  token file"));
        report.add(finding);
        assert_eq!(report.failures(), 1);
    }
}
