//! What a pull costs through the daemon, and what it costs without: one command, one table.
//!
//! `cargo bench --bench pull`, or a part of it: `cargo bench --bench pull -- wide-area limited`. `--runs N` changes how
//! often each figure is taken (the median counts), `--json FILE` writes the rows as data too. Of whole pulls, `--timeline` tells on
//! standard error when the cloud was asked for what, and `--profile` where the processors were.
//!
//! The simulated cloud runs in this process and brings the network with it: round trips, slow start and a limit for each
//! connection are its own, so no kernel feature is needed. The daemon and everything beside it are processes of their own.
//! What needs a program that is not installed, or root, is left out by name.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark prints its figures, and how far it has come"
)]

#[path = "../../tests/it/support/containerd.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod containerd;
#[path = "../../tests/it/support/cri.rs"]
mod cri;
#[path = "../../tests/it/support/daemon.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod daemon;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "the other benchmarks use more of it")]
mod support;

mod bytes;
mod conditions;
mod first_byte;
mod growth;
mod manifests;
mod node;
mod part;
mod peers;
mod profile;
mod resident;
mod table;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;

use part::Part;
use table::Table;

/// How often a figure is taken unless `--runs` says otherwise.
const RUNS: usize = 5;

/// What the command line asks for.
struct Wish {
    parts: Vec<Part>,
    how: How,
    json: Option<PathBuf>,
}

/// How figures are taken.
#[derive(Debug, Clone, Copy)]
struct How {
    /// How often each.
    runs: usize,
    /// Whether to tell when the cloud was asked for what.
    timeline: bool,
    /// Whether to tell where the processors were.
    profile: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let wish = match Wish::read(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    // Before anything is measured: what else the machine is busy with.
    let conditions = conditions::lines(wish.how.runs);
    let mut table = Table::default();
    for part in wish.parts {
        eprintln!("== {}: {}", part.name(), part.about());
        match part.measure(wish.how).await {
            Ok(rows) => table.add(part, rows),
            Err(left_out) => table.leave_out(part, left_out),
        }
    }
    println!("{}", table.text(&conditions));
    if let Some(file) = wish.json {
        let written = std::fs::write(&file, table.json(&conditions));
        if let Err(error) = written {
            eprintln!("{}: {error}: name a file in a directory that can be written", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

impl Wish {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wish = Self { parts: Vec::new(), how: How { runs: RUNS, timeline: false, profile: false }, json: None };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // cargo adds it.
                "--bench" => {}
                "--runs" => {
                    let runs = arguments.next().and_then(|text| text.parse().ok()).filter(|runs| *runs > 0);
                    wish.how.runs = runs.ok_or("--runs needs a whole number above 0")?;
                }
                "--timeline" => wish.how.timeline = true,
                "--profile" => wish.how.profile = true,
                "--json" => wish.json = Some(arguments.next().ok_or("--json needs a file")?.into()),
                name => wish.parts.push(Part::parse(name)?),
            }
        }
        if wish.parts.is_empty() {
            wish.parts = Part::ALL.to_vec();
        }
        Ok(wish)
    }
}
