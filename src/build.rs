//! Builds: tells the program which commit and target it is built from.
//!
//! `ACR_PULL_PROXY_COMMIT` wins, for builds that have no checkout or must not depend on one. Without it git is asked; a
//! build without git, or of sources that are no checkout of their own, has the commit `unknown`.

#![expect(clippy::disallowed_methods, reason = "cargo tells a build script what it has to know in the environment")]

use std::env;
use std::path::Path;
use std::process::Command;

/// The variable that names the commit, for this script and, set by it, for the program.
const COMMIT: &str = "ACR_PULL_PROXY_COMMIT";

fn main() {
    let mut instructions =
        vec![format!("cargo::rerun-if-env-changed={COMMIT}"), "cargo::rerun-if-changed=src/build.rs".to_owned()];
    let told = env::var(COMMIT).ok().filter(|commit| !commit.is_empty());
    let commit = told.or_else(|| {
        let (commit, files) = checked_out()?;
        instructions.extend(files.iter().map(|file| format!("cargo::rerun-if-changed={file}")));
        Some(commit)
    });
    instructions.push(format!("cargo::rustc-env={COMMIT}={}", commit.as_deref().unwrap_or("unknown")));
    let target = env::var("TARGET").unwrap_or_default();
    instructions.push(format!("cargo::rustc-env=ACR_PULL_PROXY_TARGET={target}"));
    println!("{}", instructions.join("\n"));
}

/// The commit of this checkout, and the files that change with it. Sources that lie in the checkout of something else
/// have no commit.
fn checked_out() -> Option<(String, Vec<String>)> {
    let is_top = git(&["rev-parse", "--show-prefix"])?.is_empty();
    let commit = git(&["rev-parse", "HEAD"]).filter(|_| is_top)?;
    // Which branch it is, where that stands, and the list of its moves, which some checkouts do not keep.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
    let files = ["HEAD", &branch, "packed-refs", "logs/HEAD"];
    let files = files.iter().filter_map(|file| git(&["rev-parse", "--git-path", file]));
    // One that is not there would have this script run at every build.
    Some((commit, files.filter(|file| Path::new(file).exists()).collect()))
}

/// What git says; `None` where it is not there or fails. Cargo runs this script in the directory of the package.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
