//! The commit that the program names, as the build script finds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{acr_pull_proxy, stdout};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn a_build_of_a_checkout_names_a_commit_of_it() {
    let output = acr_pull_proxy(&["version", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    let commit = json["commit"].as_str().unwrap();
    assert!(stdout(&acr_pull_proxy(&["version"])).contains(&format!("(commit {commit}, ")));
    let is_checkout = git(root(), &["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    if is_checkout {
        // Not the last one: somebody may have committed since the build, or have named another.
        assert_eq!(git(root(), &["cat-file", "-t", commit]).as_deref(), Some("commit"), "{commit}");
    }
}

/// The build script, compiled, beside an empty checkout with one commit.
struct Build {
    place: TempDir,
    script: PathBuf,
}

impl Build {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let script = place.path().join("build-script");
        let mut compiler = Command::new(Path::new(env!("CARGO")).with_file_name("rustc"));
        compiler.args(["--edition", "2024", "-o"]).arg(&script).arg(root().join("src/build.rs"));
        assert!(compiler.status().unwrap().success());
        let build = Self { place, script };
        fs::create_dir_all(build.path("checkout/below")).unwrap();
        git(&build.path("checkout"), &["init", "--quiet"]).unwrap();
        build.commit();
        build
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn head(&self) -> String {
        git(&self.path("checkout"), &["rev-parse", "HEAD"]).unwrap()
    }

    fn commit(&self) {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
        let what = ["commit", "--quiet", "--allow-empty", "-m", "a"];
        git(&self.path("checkout"), &[&who[..], &what].concat()).unwrap();
    }

    /// What the script tells cargo in this directory.
    fn run(&self, directory: &str, variables: &[(&str, &str)]) -> String {
        let mut script = Command::new(&self.script);
        script.env_remove("ACR_PULL_PROXY_COMMIT").env("TARGET", "some-target");
        let output = script.envs(variables.iter().copied()).current_dir(self.path(directory)).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }
}

fn names(told: &str, commit: &str) -> bool {
    told.lines().any(|line| line == format!("cargo::rustc-env=ACR_PULL_PROXY_COMMIT={commit}"))
}

#[test]
fn the_build_asks_git_unless_it_is_told() {
    let build = Build::new();
    let first = build.run("checkout", &[]);
    assert!(names(&first, &build.head()), "{first}");
    assert!(first.contains("cargo::rustc-env=ACR_PULL_PROXY_TARGET=some-target"), "{first}");

    let told = build.run("checkout", &[("ACR_PULL_PROXY_COMMIT", "0123abc")]);
    assert!(names(&told, "0123abc") && !told.contains(".git"), "{told}");
    assert!(
        names(&build.run("checkout", &[("ACR_PULL_PROXY_COMMIT", "")]), &build.head()),
        "an empty one says nothing"
    );

    for (directory, variables, why) in [
        (".", &[][..], "no checkout"),
        ("checkout/below", &[], "the checkout of something else"),
        ("checkout", &[("PATH", "/nonexistent")], "no git"),
    ] {
        assert!(names(&build.run(directory, variables), "unknown"), "{why}");
    }
}

#[test]
fn the_build_is_repeated_when_the_checkout_has_moved() {
    let build = Build::new();
    let watched = |told: &str| -> Vec<PathBuf> {
        let files = told.lines().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="));
        let files = files.filter(|file| *file != "src/build.rs").map(|file| build.path("checkout").join(file));
        files.collect()
    };
    let read = |files: &[PathBuf]| -> Vec<_> { files.iter().map(|file| fs::read(file).unwrap()).collect() };
    let files = watched(&build.run("checkout", &[]));
    let before = read(&files);
    assert!(!files.is_empty(), "all of them are there");
    build.commit();
    assert_ne!(read(&files), before, "a commit");
    // The same of a second working tree, which keeps its own branch.
    git(&build.path("checkout"), &["worktree", "add", "--quiet", "../second"]).unwrap();
    let second = build.run("second", &[]);
    assert!(names(&second, &build.head()) && second.contains("worktrees/second"), "{second}");
}
