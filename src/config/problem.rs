//! What is wrong with a configuration, and where: collected all at once, never one at a time.
//!
//! A problem names its place and what to do. It never repeats the value of a key that may hold a secret.

use std::cell::RefCell;
use std::fmt;

use serde::Serialize;

/// One thing a person has to change, or should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The place as `instances[0].expireDuration`; empty for the document as a whole.
    pub path: String,
    /// The line in the file, counted from 1, where the file has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// Whether it is about what the file says, and not about this machine, which may be another than the daemon's.
    #[must_use]
    pub const fn is_in_the_file(&self) -> bool {
        self.line.is_some()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line) {
            ("", None) => {}
            ("", Some(line)) => write!(f, "line {line}: ")?,
            (path, None) => write!(f, "{path}: ")?,
            (path, Some(line)) => write!(f, "{path} (line {line}): ")?,
        }
        f.write_str(&self.text)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " - {hint}"))
    }
}

/// A configuration that cannot be used: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{source_name} has {} to solve before it can be used", count(.problems))]
pub struct Unusable {
    /// The file or directory that was read.
    pub source_name: String,
    /// Never empty.
    pub problems: Vec<Problem>,
    /// What would have been worth knowing beside them.
    pub notes: Vec<Problem>,
}

fn count(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "one problem".to_owned(),
        many => format!("{many} problems"),
    }
}

/// Where a place in the document is, for the problems found there.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: Option<usize>,
}

impl Place {
    /// A place that is not in a document, such as a flag.
    pub(super) fn named(path: impl Into<String>) -> Self {
        Self { path: path.into(), line: None }
    }
}

/// Everything found while one configuration is read. Problems refuse it, notes do not.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<Problem>>,
}

impl Findings {
    pub(super) fn problem(&self, place: &Place, text: impl Into<String>, hint: impl Into<String>) {
        self.problems.borrow_mut().push(entry(place, text.into(), hint.into()));
    }

    pub(super) fn note(&self, place: &Place, text: impl Into<String>, hint: impl Into<String>) {
        self.notes.borrow_mut().push(entry(place, text.into(), hint.into()));
    }

    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Both lists in the order of the document.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        let sorted = |list: RefCell<Vec<Problem>>| {
            let mut list = list.into_inner();
            list.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
            list
        };
        (sorted(self.problems), sorted(self.notes))
    }
}

fn entry(place: &Place, text: String, hint: String) -> Problem {
    Problem { path: place.path.clone(), line: place.line, text, hint: (!hint.is_empty()).then_some(hint) }
}
