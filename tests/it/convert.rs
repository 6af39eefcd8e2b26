//! `convert`: what it prints is a configuration that works, and says what became of every key.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn acr_pull_proxy(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy")).env_clear().args(arguments).output().unwrap()
}

fn sample(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(name).display().to_string()
}

fn effective(path: &str) -> Value {
    let output = acr_pull_proxy(&["check", "--config", path, "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    for instance in answer["config"]["instances"].as_array_mut().unwrap() {
        // The one thing that is meant to change: keys move to files.
        let keys = instance.as_object_mut().unwrap();
        keys.retain(|key, _| !key.starts_with("customAccessKey"));
    }
    answer["config"].clone()
}

#[test]
fn what_is_printed_means_the_same_in_our_format() {
    for name in ["acr-configuration.yaml", "managed-addon.json", "mounted"] {
        let output = acr_pull_proxy(&["convert", "--config", &sample(name)]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &output.stdout).unwrap();
        assert_eq!(effective(file.path().to_str().unwrap()), effective(&sample(name)), "{name}");
    }
}

#[test]
fn keys_without_effect_are_named_with_the_reason_and_secrets_are_not_printed() {
    let output = acr_pull_proxy(&["convert", "--config", &sample("acr-configuration.yaml")]);
    let text = String::from_utf8(output.stdout).unwrap();
    for (key, reason) in [
        ("acr-api-version", "the version of the API is fixed"),
        ("notify-email", "failures are in the log"),
        ("service-account", "no ServiceAccount is touched"),
        ("watch-namespace", "no namespace is watched"),
        ("webhook-configuration", "no webhook is needed"),
    ] {
        assert!(
            text.lines().any(|line| line.starts_with('#') && line.contains(key) && line.contains(reason)),
            "{key}\n{text}"
        );
    }
    assert!(!text.contains("on this machine") && !text.contains("expiringThreshold"), "{text}");
    assert!(!text.contains("example-key-secret") && text.contains("customAccessKeySecretFile: /"), "{text}");
}

#[test]
fn our_own_format_is_wrong_usage_and_json_is_for_programs() {
    let output = acr_pull_proxy(&["convert", "--config", &sample("minimal.yaml")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("our own format already"));
    let output = acr_pull_proxy(&["convert", "--config", &sample("managed-addon.json"), "--output", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["configuration"].as_str().unwrap().contains("instances:"));
    assert!(!answer["notes"].as_array().unwrap().is_empty());
}
