//! How a command ends: its answer on standard output, or one failure on standard error with an exit code.

use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::config::Unusable;

/// Exit code: it failed at run time.
pub(super) const FAILED: u8 = 1;
/// Exit code: wrong usage or configuration.
pub(super) const WRONG_USAGE: u8 = 2;

/// Why a command did not do what it is for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration cannot be used.
    Configuration(Unusable),
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
    pub(super) fn report(self) -> ExitCode {
        let (text, code) = self.told();
        warn(&text);
        ExitCode::from(code)
    }

    /// What there is to tell, and the exit code.
    pub(super) fn told(&self) -> (String, u8) {
        match self {
            Self::Told(code) => (String::new(), *code),
            Self::Configuration(unusable) => (problems(unusable), WRONG_USAGE),
            Self::Usage { what, next } => (format!("acr-pull-proxy: {what}; {next}.\n"), WRONG_USAGE),
            Self::Runtime { what, next } => (format!("acr-pull-proxy: {what}; {next}.\n"), FAILED),
        }
    }
}

/// Every problem on a line of its own, notes behind them.
pub(super) fn problems(unusable: &Unusable) -> String {
    let mut text = format!("acr-pull-proxy: {unusable}:\n");
    for problem in &unusable.problems {
        text.push_str(&format!("  {problem}\n"));
    }
    for note in &unusable.notes {
        text.push_str(&format!("  note: {note}\n"));
    }
    text
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
