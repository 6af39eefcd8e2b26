//! `version`: what runs here, and what it was built from.

use serde::Serialize;

use super::Form;
use super::output::{Failure, print, print_json};

/// The version of the package.
pub(crate) const SHORT: &str = env!("CARGO_PKG_VERSION");

/// The commit, `unknown` where the build could not tell (`src/build.rs`).
pub(crate) const COMMIT: &str = env!("ACR_PULL_PROXY_COMMIT");

/// The target triple.
const TARGET: &str = env!("ACR_PULL_PROXY_TARGET");

#[derive(Debug, Serialize)]
struct Answer {
    version: &'static str,
    commit: &'static str,
    target: &'static str,
}

pub(super) fn run(form: Form) -> Result<(), Failure> {
    let answer = Answer { version: SHORT, commit: COMMIT, target: TARGET };
    match form {
        Form::Text => {
            print(&format!("acr-pull-proxy {} (commit {}, {})\n", answer.version, answer.commit, answer.target))
        }
        Form::Json => print_json(&answer),
    }
}
