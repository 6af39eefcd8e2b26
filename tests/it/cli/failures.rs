//! What programs read where a command fails, and that a reader who leaves is no failure.

use std::io::{PipeReader, pipe};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{acr_pull_proxy, stderr};

const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["check"],
    &["doctor"],
    &["pull", "demo-registry.cn-hangzhou.cr.aliyuncs.com/team/app:v1"],
    &["hosts", "install"],
    &["hosts", "status"],
    &["hosts", "print"],
    &["policy"],
];

/// The answer of a command that fails with this code; standard error has a sentence as well.
fn failure(arguments: &[&str], code: i32) -> Value {
    let output = acr_pull_proxy(&[arguments, &["--output", "json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    assert!(!stderr(&output).is_empty(), "{arguments:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false, "{arguments:?}");
    for key in ["error", "next"] {
        assert!(json[key].as_str().is_some_and(|text| !text.is_empty()), "{arguments:?}: {json}");
    }
    json
}

#[test]
fn every_command_answers_a_bad_configuration_with_its_problems() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "listn: 127.0.0.1:1\ninstances: []\n").unwrap();
    let path = file.path().to_str().unwrap();
    let check = failure(&["check", "--config", path], 2);
    assert_eq!(check["problems"][0]["path"], "listn");
    assert_eq!(check["problems"][0]["hint"], "did you mean 'listen'?");
    for command in COMMANDS {
        assert_eq!(failure(&[command, &["--config", path][..]].concat(), 2), check, "{command:?}");
    }
    let absent = failure(&["convert", "--config", "/nonexistent"], 2);
    assert!(absent["problems"][0]["text"].as_str().unwrap().contains("cannot be read"), "{absent}");
}

#[test]
fn other_failures_are_answers_too() {
    let path = super::sample("minimal.yaml");
    let path = path.to_str().unwrap();
    for (arguments, code, said) in [
        (&["pull", "UPPER/case"][..], 2, "is no image name"),
        (&["pull", "a.example.com/b", "--mirror", "nowhere"], 2, "is no URL"),
        (&["pull", "a.example.com/b", "--mirror", "http://127.0.0.1:1"], 1, "does not answer"),
        (&["doctor", "--instance", "cri-2", "--config", path], 2, "no instance 'cri-2'"),
        (&["convert", "--config", path], 2, "in our own format"),
        (&["hosts", "install", "--config", path, "--certs-dir", "/proc/none"], 1, "cannot create"),
        (&["hosts", "install", "--config", path, "--wait", "soon"], 2, "whole number"),
        (&["no-such-command"], 2, "unrecognized subcommand"),
        (&["check", "--no-such-flag"], 2, "--no-such-flag"),
        (&[], 2, ""),
    ] {
        let json = failure(arguments, code);
        assert!(json["error"].as_str().unwrap().contains(said), "{arguments:?}: {json}");
    }
}

#[test]
fn what_stands_in_the_way_of_the_entries_is_data() {
    let path = super::sample("minimal.yaml");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "version = 2\n").unwrap();
    let config = ["--config", path.to_str().unwrap(), "--containerd-config", file.path().to_str().unwrap()];
    let json = failure(&[&["hosts", "install"], &config[..]].concat(), 2);
    assert_eq!(json["findings"][0]["kind"], "noConfigPath");
    assert!(json["findings"][0]["fix"].as_str().unwrap().contains("config_path ="), "{json}");
}

#[test]
fn a_file_that_was_not_changed_is_told_in_both_forms() {
    let path = super::sample("minimal.yaml");
    let place = tempfile::tempdir().unwrap();
    let domain = place.path().join("demo-registry.cn-hangzhou.cr.aliyuncs.com");
    std::fs::create_dir(&domain).unwrap();
    std::fs::write(domain.join("hosts.toml"), "server = ").unwrap();
    let place = place.path().to_str().unwrap();
    let arguments = ["hosts", "install", "--config", path.to_str().unwrap(), "--certs-dir", place, "--output", "json"];
    let output = acr_pull_proxy(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not TOML"), "{}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["ok"], json["files"].as_array().map(Vec::len)), (&Value::from(false), Some(2)));
}

/// A pipe that nobody reads from.
fn nobody() -> Stdio {
    let (reader, writer): (PipeReader, _) = pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_who_has_left_is_no_failure() {
    let path = super::sample("minimal.yaml");
    let path = path.to_str().unwrap();
    let bad = super::sample("no-such-file.yaml");
    let bad = bad.to_str().unwrap();
    for (arguments, code) in [
        (&["check", "--config", path][..], 0),
        (&["check", "--config", path, "--output", "json"], 0),
        (&["check", "--config", bad, "--output", "json"], 2),
        (&["policy", "--config", path], 0),
        (&["hosts", "print", "--config", path, "--certs-dir", "/none"], 0),
        (&["version"], 0),
        (&["--help"], 0),
        (&["man"], 0),
        (&["no-such-command"], 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        let status = command.env_clear().args(arguments).stdout(nobody()).stderr(nobody()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}: {status}");
    }
}
