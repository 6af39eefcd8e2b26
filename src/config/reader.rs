//! Reads a [`Node`] key by key and collects everything that is wrong with it.
//!
//! A section knows its keys because each is asked for; what was never asked for is unknown. So there is no second list
//! of names that could drift from the code.

use std::cell::RefCell;
use std::fmt::Display;

use super::document::{Entry, Node, Value};
use super::problem::{Findings, Place};
use super::value;

/// Most characters of a wrong value that a message repeats.
const SHOWN: usize = 80;

/// A value in its place.
pub(super) struct Field<'a> {
    pub(super) place: Place,
    pub(super) node: &'a Node,
    pub(super) findings: &'a Findings,
}

impl<'a> Field<'a> {
    /// The whole document.
    pub(super) fn root(node: &'a Node, findings: &'a Findings) -> Self {
        Self { place: Place { path: String::new(), line: Some(node.line) }, node, findings }
    }

    pub(super) fn problem(&self, text: impl Into<String>, hint: impl Into<String>) {
        self.findings.problem(&self.place, text, hint);
    }

    pub(super) fn note(&self, text: impl Into<String>, hint: impl Into<String>) {
        self.findings.note(&self.place, text, hint);
    }

    /// The text of a scalar, without the spaces around it.
    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(scalar.text.trim()),
            _ => {
                self.problem("one value is expected here, not a list or a section", "");
                None
            }
        }
    }

    /// `true` or `false`, as YAML writes them.
    pub(super) fn flag(&self) -> Option<bool> {
        self.parsed(|text| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err("it must be true or false"),
        })
    }

    /// A whole number within `range`.
    pub(super) fn number(&self, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        self.parsed(|text| match text.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(format!("it must be a whole number from {} to {}", range.start(), range.end())),
        })
    }

    /// The value as `parse` understands it. The value stands in the message: not for secrets.
    pub(super) fn parsed<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text()?;
        self.judged(text, parse)
    }

    fn judged<T, E: Display>(&self, text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        parse(text)
            .map_err(|rule| {
                let shown: String = text.chars().take(SHOWN).collect();
                self.problem(format!("'{shown}' is not accepted: {rule}"), "");
            })
            .ok()
    }

    /// A YAML list or one scalar with commas, each part as `parse` understands it.
    pub(super) fn words<T, E: Display>(&self, parse: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        match &self.node.value {
            Value::List(_) => self.items().iter().filter_map(|item| item.parsed(&parse)).collect(),
            _ => {
                let text = self.text().unwrap_or_default();
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                words.filter_map(|word| self.judged(word, &parse)).collect()
            }
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<Field<'a>> {
        let Value::List(items) = &self.node.value else {
            self.problem("a list is expected here", "begin each entry with '- '");
            return Vec::new();
        };
        let item = |(index, node): (usize, &'a Node)| {
            let place = Place { path: format!("{}[{index}]", self.place.path), line: Some(node.line) };
            Field { place, node, findings: self.findings }
        };
        items.iter().enumerate().map(item).collect()
    }

    /// Reads a section, and reports every key of it that `read` did not ask for.
    pub(super) fn section<T>(&self, read: impl FnOnce(&Section<'a>) -> T) -> Option<T> {
        let Value::Map(entries) = &self.node.value else {
            self.problem("a section with keys is expected here", "write 'key: value' lines, indented alike");
            return None;
        };
        let section =
            Section { place: self.place.clone(), entries, findings: self.findings, asked: RefCell::default() };
        let result = read(&section);
        section.finish();
        Some(result)
    }

    /// The keys and values of a section whose keys are not known beforehand.
    pub(super) fn pairs(&self) -> Vec<(&'a str, Field<'a>)> {
        let Value::Map(entries) = &self.node.value else {
            self.problem("a section with keys is expected here", "");
            return Vec::new();
        };
        let section =
            Section { place: self.place.clone(), entries, findings: self.findings, asked: RefCell::default() };
        section.report_repeated();
        entries.iter().map(|entry| (entry.key.as_str(), section.child(entry))).collect()
    }
}

/// A mapping whose keys are asked for one by one.
pub(super) struct Section<'a> {
    pub(super) place: Place,
    pub(super) findings: &'a Findings,
    entries: &'a [Entry],
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The value of a key; `None` where it is absent or empty, which mean the same.
    pub(super) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        self.asked.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        let empty = match &entry.value.value {
            Value::Null => true,
            Value::Scalar(scalar) => scalar.text.trim().is_empty(),
            _ => false,
        };
        (!empty).then(|| self.child(entry))
    }

    /// The place of the section, or of a key in it that may be missing.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let line = self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.line);
        Place { path: self.path_of(key), line: line.or(self.place.line) }
    }

    fn path_of(&self, key: &str) -> String {
        let parent = &self.place.path;
        let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        match (parent.is_empty(), plain) {
            (true, true) => key.to_owned(),
            (false, true) => format!("{parent}.{key}"),
            (_, false) => format!("{parent}[\"{key}\"]"),
        }
    }

    fn child(&self, entry: &'a Entry) -> Field<'a> {
        let place = Place { path: self.path_of(&entry.key), line: Some(entry.line) };
        Field { place, node: &entry.value, findings: self.findings }
    }

    fn report_repeated(&self) {
        for (index, entry) in self.entries.iter().enumerate() {
            if self.entries.iter().take(index).any(|earlier| earlier.key == entry.key) {
                let place = Place { path: self.path_of(&entry.key), line: Some(entry.line) };
                self.findings.problem(&place, "this key stands here twice", "keep one of the two");
            }
        }
    }

    fn finish(&self) {
        self.report_repeated();
        let asked = self.asked.borrow();
        for entry in self.entries.iter().filter(|entry| !asked.contains(&entry.key.as_str())) {
            let place = Place { path: self.path_of(&entry.key), line: Some(entry.line) };
            let hint = match value::closest(&entry.key, &asked) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("known here: {}", asked.join(", ")),
            };
            self.findings.problem(&place, "unknown key", hint);
        }
    }
}
