//! The table: what was measured, through the daemon and beside it, and how it stands to its bar.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::part::{LeftOut, Part};
use crate::support::median;

/// What a figure is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bar {
    /// The figure may be this much at most.
    AtMost(f64),
    /// The figure must be this much at least.
    AtLeast(f64),
    /// None; for orientation.
    None,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What was measured, with its unit.
    pub(crate) what: String,
    /// Through the daemon.
    pub(crate) daemon: f64,
    /// Beside it, by name.
    pub(crate) beside: Vec<(&'static str, f64)>,
    /// What is compared: a ratio, or the daemon's own figure.
    pub(crate) judged: Option<f64>,
    /// The least and the greatest ratio of a run, where runs were taken in turns.
    pub(crate) spread: Option<(f64, f64)>,
    pub(crate) bar: Bar,
}

impl Row {
    /// The daemon's figure alone, held against a bar of its own.
    pub(crate) fn alone(what: impl Into<String>, daemon: f64, bar: Bar) -> Self {
        Self { what: what.into(), daemon, beside: Vec::new(), judged: Some(daemon), spread: None, bar }
    }

    /// Runs that were taken in turns: the medians stand in the row, and what is judged is the median of the ratios, run by
    /// run, to the first of those beside it. What slows both sides of a run is not in a ratio.
    pub(crate) fn of_runs(
        what: impl Into<String>,
        daemon: &[f64],
        beside: &[(&'static str, Vec<f64>)],
        bar: Bar,
    ) -> Self {
        let mut ratios: Vec<_> = beside.first().map_or_else(Vec::new, |(_, other)| {
            daemon.iter().zip(other).map(|(daemon, other)| daemon / other).collect()
        });
        ratios.sort_by(f64::total_cmp);
        let spread = ratios.first().copied().zip(ratios.last().copied());
        let judged = spread.map(|_| median(ratios));
        let beside = beside.iter().map(|(name, figures)| (*name, median(figures.clone()))).collect();
        Self { what: what.into(), daemon: median(daemon.to_vec()), beside, judged, spread, bar }
    }

    /// The daemon's figure over the first of those beside it.
    pub(crate) fn over(what: impl Into<String>, daemon: f64, beside: Vec<(&'static str, f64)>, bar: Bar) -> Self {
        let judged = beside.first().map(|(_, other)| daemon / other);
        Self { what: what.into(), daemon, beside, judged, spread: None, bar }
    }

    fn verdict(&self) -> Option<bool> {
        let judged = self.judged?;
        match self.bar {
            Bar::AtMost(bar) => Some(judged <= bar),
            Bar::AtLeast(bar) => Some(judged >= bar),
            Bar::None => None,
        }
    }

    fn cells(&self) -> [String; 5] {
        let beside: Vec<_> = self.beside.iter().map(|(name, figure)| format!("{name} {}", short(*figure))).collect();
        let bar = match self.bar {
            Bar::AtMost(bar) => format!("<= {}", short(bar)),
            Bar::AtLeast(bar) => format!(">= {}", short(bar)),
            Bar::None => String::new(),
        };
        let verdict = match self.verdict() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "",
        };
        let spread = self.spread.map(|(least, most)| format!(" ({} to {})", short(least), short(most)));
        let judged = self.judged.map(short).unwrap_or_default() + &spread.unwrap_or_default();
        [self.what.clone(), short(self.daemon), beside.join(", "), judged, format!("{bar} {verdict}").trim().to_owned()]
    }
}

/// All lines, and what was left out.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(Part, Row)>,
    left_out: Vec<(Part, LeftOut)>,
}

impl Table {
    pub(crate) fn add(&mut self, part: Part, rows: Vec<Row>) {
        self.rows.extend(rows.into_iter().map(|row| (part, row)));
    }

    pub(crate) fn leave_out(&mut self, part: Part, left_out: LeftOut) {
        self.left_out.push((part, left_out));
    }

    /// For people; it can stand in a Markdown page as it is.
    pub(crate) fn text(&self, conditions: &[String]) -> String {
        let head = ["what", "daemon", "beside it", "judged", "bar"].map(str::to_owned);
        let lines: Vec<_> = std::iter::once(head).chain(self.rows.iter().map(|(_, row)| row.cells())).collect();
        let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<_> = (0..5).map(width).collect();
        let mut text = String::new();
        for (number, cells) in lines.iter().enumerate() {
            for (cell, width) in cells.iter().zip(&widths) {
                write!(text, "| {cell:width$} ").ok();
            }
            text.push_str("|\n");
            if number == 0 {
                let rule: String = widths.iter().map(|width| format!("|{}", "-".repeat(width + 2))).collect();
                writeln!(text, "{rule}|").ok();
            }
        }
        for (part, LeftOut(why)) in &self.left_out {
            writeln!(text, "LEFT OUT: {}: {why}", part.name()).ok();
        }
        format!("\n{text}\n{}\n", conditions.join("\n"))
    }

    /// For programs.
    pub(crate) fn json(&self, conditions: &[String]) -> String {
        let rows: Vec<_> = self.rows.iter().map(|(part, row)| data(*part, row)).collect();
        let left_out: Vec<_> =
            self.left_out.iter().map(|(part, LeftOut(why))| json!({ "part": part.name(), "why": why })).collect();
        json!({ "rows": rows, "leftOut": left_out, "conditions": conditions }).to_string()
    }
}

fn data(part: Part, row: &Row) -> Value {
    let beside: Vec<_> = row.beside.iter().map(|(name, figure)| json!({ "name": name, "figure": figure })).collect();
    let (bar, at_least) = match row.bar {
        Bar::AtMost(bar) => (Some(bar), false),
        Bar::AtLeast(bar) => (Some(bar), true),
        Bar::None => (None, false),
    };
    json!({
        "part": part.name(), "what": row.what, "daemon": row.daemon, "beside": beside, "judged": row.judged,
        "spread": row.spread, "bar": bar, "barIsLeast": at_least, "met": row.verdict(),
    })
}

/// Three figures that count.
fn short(figure: f64) -> String {
    match figure.abs() {
        large if large >= 100.0 => format!("{figure:.0}"),
        middle if middle >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
