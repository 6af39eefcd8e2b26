//! `check`: reads the configuration as `serve` does, and says what it makes of it. Offline.

use std::path::Path;

use serde::Serialize;

use super::Form;
use super::output::{Failure, note, print, print_json};
use crate::config::{Effective, Environment, Loaded, Overlay, Problem, load};

/// The answer for programs; one that is not content has the same keys but the last (`output`).
#[derive(Debug, Serialize)]
struct Answer<'a> {
    ok: bool,
    source: String,
    problems: [Problem; 0],
    notes: &'a [Problem],
    config: Effective,
}

pub(super) fn run(path: &Path, environment: &Environment, overlay: &Overlay, form: Form) -> Result<(), Failure> {
    let loaded = load(path, environment, overlay).map_err(Failure::Configuration)?;
    match form {
        Form::Text => tell(path, &loaded),
        Form::Json => {
            let Loaded { config, notes } = &loaded;
            let source = path.display().to_string();
            print_json(&Answer { ok: true, source, problems: [], notes, config: config.effective() })
        }
    }
}

fn tell(path: &Path, loaded: &Loaded) -> Result<(), Failure> {
    note(&loaded.notes);
    let yaml =
        loaded.config.effective().to_yaml().map_err(|error| Failure::runtime(error, "report this as a defect"))?;
    print(&format!("# {} is good; this is what takes effect:\n{yaml}", path.display()))
}
