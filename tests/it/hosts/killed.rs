//! A run that is killed at any of its system calls leaves files that are the old ones or the new ones, whole.
//!
//! `strace` delivers SIGKILL at the n-th call, for every n there is.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{ADMIN, Place};

/// The calls that say or change something about files; the others cannot make a difference to them. Each is counted by
/// itself, and one that this machine does not have is passed over.
const CALLS: [&str; 20] = [
    "openat",
    "write",
    "fsync",
    "close",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "fchownat",
    "flock",
    "getdents64",
];

/// More calls of one kind than there can be.
const MOST_CALLS: usize = 500;

/// A node with a file to make, one to change, and one of ours to renew.
fn place() -> Place {
    let place = Place::serving(&["new.example.com", "kept.example.com", "ours.example.com"]);
    place.write("kept.example.com", ADMIN);
    place
}

/// Runs `hosts <arguments>` and kills it at its n-th call of this kind; whether there was one.
fn killed_at(place: &Place, call: &str, n: usize, arguments: &[&str]) -> bool {
    let mut command = Command::new("strace");
    place.environment(&mut command);
    // strace is found, and the program under it finds no containerd, as elsewhere.
    command.env("PATH", "/usr/bin:/bin").args(["-E", "PATH=/nonexistent"]);
    command.args(["-qq", "-o", "/dev/null", "-e", &format!("trace=?{call}")]);
    command.args(["-e", &format!("inject=?{call}:signal=KILL:when={n}")]);
    command.arg(env!("CARGO_BIN_EXE_acr-pull-proxy")).arg("hosts").args(arguments);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace (Debian package strace)");
    // strace ends as the program under it did.
    assert!(status.success() || status.signal() == Some(9), "{status}");
    !status.success()
}

/// The files that containerd can see.
fn seen(place: &Place) -> BTreeMap<PathBuf, String> {
    let ours = |path: &Path| path.iter().any(|name| name.to_str().unwrap().starts_with(".acr-pull-proxy"));
    place.files().into_iter().filter(|(path, _)| !ours(path)).collect()
}

/// Every file is as in one of the two states, or absent where it is absent in one of them.
fn assert_whole(place: &Place, one: &BTreeMap<PathBuf, String>, other: &BTreeMap<PathBuf, String>, when: &str) {
    let now = seen(place);
    for path in one.keys().chain(other.keys()) {
        let text = now.get(path);
        assert!(text == one.get(path) || text == other.get(path), "{when}: {} is {text:?}", path.display());
        // containerd would look into a directory without its file, and find nothing.
        assert!(text.is_some() || !path.parent().unwrap().exists(), "{when}: {} is bare", path.display());
    }
    assert!(now.keys().all(|path| one.contains_key(path) || other.contains_key(path)), "{when}: {now:?}");
}

/// Check 16 (`tests/it/peers.rs`).
#[test]
fn install_and_uninstall_killed_at_every_system_call() {
    let place = place();
    let clean = place.files();
    place.done(&["install", "--listen", "127.0.0.1:7090"]);
    let old = place.files();
    place.done(&["install"]);
    let new = place.files();
    place.done(&["uninstall"]);
    assert_eq!(place.files(), clean);

    let mut rounds = 0;
    for (from, to, prepare, killed) in [
        (&clean, &new, None, &["install"][..]),
        (&old, &new, Some(["install", "--listen", "127.0.0.1:7090"]), &["install"]),
        (&new, &clean, Some(["install", "--listen", "127.0.0.1:7080"]), &["uninstall"]),
    ] {
        for call in CALLS {
            for n in 1.. {
                if let Some(arguments) = prepare {
                    place.done(&arguments);
                }
                assert_eq!(&seen(&place), from);
                let killed = killed_at(&place, call, n, killed);
                if killed {
                    assert_whole(&place, from, to, &format!("{call} {n}"));
                    rounds += 1;
                } else {
                    assert_eq!(&place.files(), to, "{call} {n}");
                }
                // What was left behind is no hindrance, and goes.
                place.done(&["uninstall"]);
                assert_eq!(place.files(), clean, "{call} {n}");
                if !killed {
                    break;
                }
                assert!(n < MOST_CALLS, "no end of {call}");
            }
        }
    }
    assert!(rounds >= 200, "{rounds} rounds are too few to have met every call");
}
