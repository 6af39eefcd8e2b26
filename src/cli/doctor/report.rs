//! All findings together, for people as they come and for programs at the end.

use std::io::{self, IsTerminal};

use serde::Serialize;

use super::finding::{Finding, Outcome};
use crate::cli::Form;
use crate::cli::output::{Failure, print};

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
    use super::Report;
    use crate::cli::Form;
    use crate::cli::doctor::finding::Finding;
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
