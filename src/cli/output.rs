//! How a command ends: its answer on standard output, or one failure on standard error with an exit code. To programs the
//! failure is an answer as well, with `ok` false.

use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::Form;
use crate::config::{Problem, Unusable};
use crate::containerd::Finding;

/// The variable that stands for `--output`.
pub(super) const VARIABLE: &str = "ACR_PULL_PROXY_OUTPUT";

/// Exit code: it failed at run time.
pub(super) const FAILED: u8 = 1;
/// Exit code: wrong usage or configuration.
pub(super) const WRONG_USAGE: u8 = 2;

/// Why a command did not do what it is for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration cannot be used.
    Configuration(Unusable),
    /// Nothing was changed on this node, because of what stands in the way.
    Refused(Vec<Finding>),
    /// The failure has been told already, in the form that was asked for.
    Told(u8),
    /// What was asked for makes no sense: what is wrong with it, and what to do next.
    Usage {
        /// One plain sentence without a full stop.
        what: String,
        /// The next step.
        next: &'static str,
    },
    /// Anything that went wrong at run time: what, and what to do next.
    Runtime {
        /// One plain sentence without a full stop.
        what: String,
        /// The next step.
        next: Cow<'static, str>,
    },
}

impl Failure {
    pub(super) fn runtime(what: impl Into<String>, next: impl Into<Cow<'static, str>>) -> Self {
        Self::Runtime { what: what.into(), next: next.into() }
    }

    pub(super) fn usage(what: impl Into<String>, next: &'static str) -> Self {
        Self::Usage { what: what.into(), next }
    }

    /// Tells it, and says which exit code it has.
    pub(super) fn report(self, form: Form) -> ExitCode {
        let (text, code) = self.told();
        warn(&text);
        if form == Form::Json {
            self.answer();
        }
        ExitCode::from(code)
    }

    /// Tells people, where programs have an answer with more in it already.
    pub(super) fn after_answer(self) -> Self {
        let (text, code) = self.told();
        warn(&text);
        Self::Told(code)
    }

    /// Tells programs; nothing where all is told already.
    pub(super) fn answer(&self) {
        let answer = match self {
            Self::Told(_) => return,
            Self::Configuration(unusable) => FailureAnswer {
                source: Some(&unusable.source_name),
                problems: Some(&unusable.problems),
                notes: Some(&unusable.notes),
                ..FailureAnswer::new(unusable.to_string(), TO_CHECK)
            },
            Self::Refused(findings) => {
                FailureAnswer { findings: Some(findings), ..FailureAnswer::new(REFUSED.to_owned(), TO_CHANGE) }
            }
            Self::Usage { what, next } => FailureAnswer::new(what.clone(), next),
            Self::Runtime { what, next } => FailureAnswer::new(what.clone(), next),
        };
        // Where standard output is gone, standard error has it.
        print_json(&answer).ok();
    }

    /// What there is to tell, and the exit code.
    pub(super) fn told(&self) -> (String, u8) {
        match self {
            Self::Told(code) => (String::new(), *code),
            Self::Configuration(unusable) => (problems(unusable), WRONG_USAGE),
            Self::Refused(findings) => (refusal(findings), WRONG_USAGE),
            Self::Usage { what, next } => (format!("acr-pull-proxy: {what}; {next}.\n"), WRONG_USAGE),
            Self::Runtime { what, next } => (format!("acr-pull-proxy: {what}; {next}.\n"), FAILED),
        }
    }
}

/// A failure for programs.
#[derive(Debug, Serialize)]
struct FailureAnswer<'a> {
    ok: bool,
    error: String,
    next: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problems: Option<&'a [Problem]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<&'a [Problem]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'a [Finding]>,
}

impl<'a> FailureAnswer<'a> {
    const fn new(error: String, next: &'a str) -> Self {
        Self { ok: false, error, next, source: None, problems: None, notes: None, findings: None }
    }
}

/// What refuses to change this node, and the next step.
const REFUSED: &str = "nothing was changed, because of what stands in the way";
const TO_CHANGE: &str = "do what each finding says";

/// The next step where the configuration cannot be used.
const TO_CHECK: &str = "do what each problem says, and see that `acr-pull-proxy check` is content";

/// Every finding with what to change.
fn refusal(findings: &[Finding]) -> String {
    let findings: String = findings.iter().map(finding).collect();
    format!("acr-pull-proxy: {REFUSED}:\n{findings}")
}

/// A finding, and what to change below it.
pub(super) fn finding(finding: &Finding) -> String {
    // Behind lines to paste there must be no full stop.
    let end = if finding.fix.contains('\n') { "" } else { "." };
    format!("  {}.\n    {}{end}\n", finding.text, finding.fix.replace('\n', "\n    "))
}

/// Every problem on a line of its own, notes behind them.
fn problems(unusable: &Unusable) -> String {
    let mut text = format!("acr-pull-proxy: {unusable}:\n");
    for problem in &unusable.problems {
        text.push_str(&format!("  {problem}\n"));
    }
    for note in &unusable.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    text
}

/// Tells remarks on standard error.
pub(super) fn note(notes: &[Problem]) {
    let lines: String = notes.iter().map(|note| format!("note: {note}\n")).collect();
    warn(&lines);
}

/// Writes to standard error.
pub(super) fn warn(text: &str) {
    // With standard error gone there is nobody to tell.
    io::stderr().write_all(text.as_bytes()).ok();
}

/// Writes an answer to standard output. A reader that has left (a closed pipe) has had enough.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::runtime(format!("the answer cannot be written: {error}"), "check where standard output goes"))
        }
        _ => Ok(()),
    }
}

/// Writes an answer as JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => Err(Failure::runtime(error.to_string(), "report this as a defect")),
    }
}
