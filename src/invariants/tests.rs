//! Each check with what fuzzing has left behind, with random changes of it, and with plain noise.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};
use proptest::sample::Index;

use super::{TARGETS, Target};

/// Random changes of each corpus; enough to find a broken promise in a minute of commits, few enough for every build.
const CASES: u32 = 256;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// A kept text and its file.
type Kept = (PathBuf, Vec<u8>);

/// Every check with what is kept for it.
static CORPORA: LazyLock<Vec<(Target, Vec<Kept>)>> =
    LazyLock::new(|| TARGETS.iter().map(|target| (*target, corpus(target.0))).collect());

/// What is kept for a target, in the order of names, so that a failure repeats.
fn corpus(target: &str) -> Vec<Kept> {
    let directory = fuzz().join("corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|_| panic!("{} is missing", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 1, "{} is empty", directory.display());
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_check_has_a_fuzz_target_and_a_corpus() {
    let stems = |directory: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(fuzz().join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    let checks: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(checks, stems("fuzz_targets"));
    assert_eq!(checks, stems("corpus"));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in checks {
        let source = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains(&format!("check(\"{name}\", data)")), "{name} runs another check");
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not built");
    }
}

#[test]
fn the_kept_corpora_break_no_promise() {
    for ((_, check), corpus) in CORPORA.iter() {
        for (path, bytes) in corpus {
            let outcome = std::panic::catch_unwind(|| check(bytes));
            assert!(outcome.is_ok(), "{} breaks a promise", path.display());
        }
    }
}

/// One change of a text.
#[derive(Debug, Clone, Copy)]
struct Edit {
    at: Index,
    kind: u8,
    byte: u8,
    length: u8,
}

/// Applies one change; `other` lends what is spliced in.
fn apply(text: &mut Vec<u8>, edit: Edit, other: &[u8]) {
    let at = edit.at.index(text.len() + 1);
    let end = (at + usize::from(edit.length % 16)).min(text.len());
    match edit.kind % 6 {
        0 => text.insert(at, edit.byte),
        1 => drop(text.drain(at..end)),
        2 => text.truncate(at),
        3 => {
            // Bytes that mean something to one of the grammars.
            const MEANINGFUL: &[u8] = b"\"'\\%#?&=,;:/-+.[]{}<>\r\n\t 09aA\xff\xc3\0";
            text.insert(at, MEANINGFUL[usize::from(edit.byte) % MEANINGFUL.len()]);
        }
        4 => {
            let again = text[at..end].to_vec();
            text.splice(at..at, again);
        }
        _ => {
            let from = usize::from(edit.byte) % (other.len() + 1);
            text.splice(at..end, other[from..].iter().copied());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn no_change_of_what_is_kept_breaks_a_promise(
        seed in any::<Index>(),
        other in any::<Index>(),
        edits in vec((any::<Index>(), any::<u8>(), any::<u8>(), any::<u8>()), 1..6),
    ) {
        for ((_, check), corpus) in CORPORA.iter() {
            let mut text = seed.get(corpus).1.clone();
            let (_, other) = other.get(corpus);
            for (at, kind, byte, length) in &edits {
                apply(&mut text, Edit { at: *at, kind: *kind, byte: *byte, length: *length }, other);
            }
            check(&text);
        }
    }

    #[test]
    fn noise_breaks_no_promise(text in any::<String>(), bytes in vec(any::<u8>(), 0..64)) {
        for (_, check) in TARGETS {
            check(text.as_bytes());
            check(&bytes);
        }
    }
}
