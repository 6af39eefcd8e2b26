//! `SECURITY.md` claims nothing that no test shows: each test it names is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every text between backticks in the last column of a table.
fn named(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| who |"));
    let last = rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit('|').next());
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The sources below a directory, as one text.
fn sources(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn every_test_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let sources = sources(&root.join("src")) + &sources(&root.join("tests/it"));
    let named = named(&text);
    assert!(named.len() > 15, "the tables are not read: {named:?}");
    for name in named {
        let last = name.trim_end_matches("::").rsplit("::").next().unwrap();
        let test = sources.contains(&format!("fn {last}(")) || sources.contains(&format!("mod {last};"));
        let target = root.join(format!("fuzz/fuzz_targets/{name}.rs")).exists();
        assert!(test || target, "SECURITY.md names {name}, which is neither a test nor a fuzz target");
    }
}
