//! `check`: reads the configuration as `serve` does, and says what it makes of it. Offline.

use std::path::Path;

use serde::Serialize;

use super::Form;
use super::output::{Failure, WRONG_USAGE, print, print_json, problems, warn};
use crate::config::{Effective, Environment, Loaded, Overlay, Problem, Unusable, load};

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    ok: bool,
    source: String,
    problems: &'a [Problem],
    notes: &'a [Problem],
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Effective>,
}

pub(super) fn run(path: &Path, environment: &Environment, overlay: &Overlay, form: Form) -> Result<(), Failure> {
    match (load(path, environment, overlay), form) {
        (Ok(loaded), Form::Text) => tell(path, &loaded),
        (Ok(Loaded { config, notes }), Form::Json) => {
            let source = path.display().to_string();
            print_json(&Answer { ok: true, source, problems: &[], notes: &notes, config: Some(config.effective()) })
        }
        (Err(unusable), Form::Text) => {
            warn(&problems(&unusable));
            Err(Failure::Told(WRONG_USAGE))
        }
        (Err(Unusable { source_name: source, problems, notes }), Form::Json) => {
            print_json(&Answer { ok: false, source, problems: &problems, notes: &notes, config: None })?;
            Err(Failure::Told(WRONG_USAGE))
        }
    }
}

fn tell(path: &Path, loaded: &Loaded) -> Result<(), Failure> {
    for note in &loaded.notes {
        warn(&format!("note: {note}\n"));
    }
    let yaml =
        loaded.config.effective().to_yaml().map_err(|error| Failure::runtime(error, "report this as a defect"))?;
    print(&format!("# {} is good; this is what takes effect:\n{yaml}", path.display()))
}
