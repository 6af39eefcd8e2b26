//! Who may import whom: the layers of the crate documentation, held against every `crate::` path in `src/`.
//!
//! Arrows point to lower layers only, and modules of one layer do not know each other. Code under `#[cfg(test)]` is
//! free to use more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module, and the paths below `crate::` that it may use beside its own. A path covers what is below it.
const RULES: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("clock", &[]),
    ("secret", &[]),
    ("oci", &[]),
    ("telemetry", &["error", "clock", "secret", "oci"]),
    ("refresh", &["error", "clock", "secret", "oci", "telemetry"]),
    ("http", &["error", "clock", "secret", "oci", "telemetry"]),
    ("cloud", &["error", "clock", "secret", "oci", "telemetry", "refresh", "http"]),
    ("credentials", &["error", "clock", "secret", "oci", "telemetry", "refresh", "http", "cloud"]),
    ("token", &["error", "clock", "secret", "oci", "telemetry", "refresh", "http", "cloud", "credentials"]),
    // The registry side is handed bearers and knows nothing of how they come about.
    ("upstream", &["error", "clock", "secret", "oci", "telemetry", "refresh", "http", "token"]),
    // The face sees errors of all below it, since it is the one place that turns them into answers.
    (
        "proxy",
        &[
            "error",
            "clock",
            "secret",
            "oci",
            "telemetry",
            "http::Body",
            "http::body",
            "http::headers",
            "http::listen",
            "http::client::ClientError",
            "token::TokenError",
            "upstream",
        ],
    ),
    ("admin", &["error", "clock", "secret", "oci", "telemetry", "http::listen::places"]),
    ("logins", &["error", "clock", "secret", "oci", "telemetry"]),
    ("containerd", &["error", "clock", "secret", "oci"]),
    // Settings fill the `Params` of the modules below, and use nothing else of them.
    (
        "config",
        &[
            "error",
            "clock",
            "secret",
            "oci",
            "telemetry::logs",
            "http::client",
            "cloud::endpoints",
            "credentials::plan",
            "token",
            "upstream",
            "proxy",
        ],
    ),
];

/// The wiring, which may use everything, and which nobody uses; and the checks of all parsers and the build script, which
/// are no product code.
const WIRING: &[&str] = &["app", "build", "cli", "invariants", "lib", "main"];

#[test]
fn every_module_imports_lower_layers_only() {
    let mut broken = Vec::new();
    for file in sources() {
        let module = module_of(&file);
        if WIRING.contains(&module.as_str()) {
            continue;
        }
        let Some((_, allowed)) = RULES.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{}: module '{module}' has no layer; give it one in RULES", file.display()));
            continue;
        };
        for path in crate_paths(&product_code(&file)) {
            let fits = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}::"));
            if !fits(&module) && !allowed.iter().any(|prefix| fits(prefix)) {
                broken.push(format!(
                    "{}: '{module}' uses crate::{path}, but its layer may use only: {}",
                    file.display(),
                    allowed.join(", ")
                ));
            }
        }
    }
    assert!(broken.is_empty(), "the layers are broken:\n{}", broken.join("\n"));
}

#[test]
fn only_the_clock_reads_the_time_and_only_the_settings_read_the_environment() {
    for (call, owners) in [
        ("Timestamp::now()", &["src/clock.rs"][..]),
        ("env::var", &["src/build.rs", "src/config/environment.rs"][..]),
        ("hyper_util::client::legacy", &["src/http/client/tasks.rs", "src/http/dial.rs"][..]),
    ] {
        for file in sources() {
            let owner = owners.iter().any(|owner| file.ends_with(owner));
            assert!(
                owner || !product_code(&file).contains(call),
                "{} uses {call}, which belongs to {owners:?}",
                file.display()
            );
        }
    }
}

#[test]
fn no_file_grows_beyond_what_is_read_in_one_go() {
    for file in sources() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= 400, "{} has {lines} lines: split it by reason to change", file.display());
    }
}

#[test]
fn the_reader_of_imports_understands_every_form() {
    let text = "use crate::{a, b::{c, d::E}};\nuse crate::f::g as h;\nlet x = crate::i::j(1); // crate::k\npub(in crate::l) fn m() {}";
    let found: Vec<_> = crate_paths(&without_comments(text)).into_iter().collect();
    assert_eq!(found, ["a", "b::c", "b::d::E", "f::g", "i::j", "l"]);
}

/// All files of `src/` that are not tests.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap();
            match path.extension() {
                _ if stem == "tests" => {}
                None => directories.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                Some(_) => {}
            }
        }
    }
    files
}

/// The first component below `src/`.
fn module_of(file: &Path) -> String {
    let below = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap();
    Path::new(first.as_os_str()).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The text of a file up to its test module, without comments.
fn product_code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let product = text.split("#[cfg(test)]\nmod ").next().unwrap();
    without_comments(product)
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Every path behind `crate::`, groups taken apart.
fn crate_paths(text: &str) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        let mut rest: Vec<char> = rest.chars().rev().collect();
        expand(&mut rest, "", &mut paths);
    }
    paths
}

/// Reads one path, or a group of them, off the end of `rest`, which holds the text backwards.
fn expand(rest: &mut Vec<char>, prefix: &str, paths: &mut BTreeSet<String>) {
    let mut path = prefix.to_owned();
    loop {
        if rest.last() == Some(&'{') {
            rest.pop();
            loop {
                while rest.last().is_some_and(|next| next.is_whitespace() || *next == ',') {
                    rest.pop();
                }
                match rest.last() {
                    None => return,
                    Some('}') => {
                        rest.pop();
                        return;
                    }
                    Some(_) => expand(rest, &path, paths),
                }
            }
        }
        let before = rest.len();
        while let Some(next) = rest.last().filter(|next| next.is_alphanumeric() || **next == '_' || **next == '*') {
            path.push(*next);
            rest.pop();
        }
        if rest.len() == before {
            // Neither a name nor a group, as behind `as`: nothing more to read here.
            rest.pop();
            return;
        }
        if rest.ends_with(&[':', ':']) {
            rest.truncate(rest.len() - 2);
            path.push_str("::");
        } else {
            break;
        }
    }
    paths.insert(path);
    // `as other` belongs to the same item.
    while rest.last().is_some_and(|next| !matches!(next, ',' | '}' | ';' | '\n')) {
        rest.pop();
    }
}
