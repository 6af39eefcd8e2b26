//! `version`: what runs here, and what it was built from.

use serde::Serialize;

use super::Form;
use super::output::{Failure, print, print_json};

/// The version of the package.
pub(crate) const SHORT: &str = env!("CARGO_PKG_VERSION");

/// The commit, where the build was told one; a build outside of a checkout has none.
pub(crate) const COMMIT: &str = match option_env!("ACR_PULL_PROXY_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

#[derive(Debug, Serialize)]
struct Answer {
    version: &'static str,
    commit: &'static str,
    target: String,
}

pub(super) fn run(form: Form) -> Result<(), Failure> {
    let answer = Answer { version: SHORT, commit: COMMIT, target: target() };
    match form {
        Form::Text => {
            print(&format!("acr-pull-proxy {} (commit {}, {})\n", answer.version, answer.commit, answer.target))
        }
        Form::Json => print_json(&answer),
    }
}

/// The target triple, put together from what the compiler tells without a build script.
fn target() -> String {
    let library = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-unknown-{}-{library}", std::env::consts::ARCH, std::env::consts::OS)
}
