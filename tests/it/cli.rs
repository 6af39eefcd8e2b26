//! The real binary: what it prints where, and which exit code it ends with.

mod commit;
mod failures;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn acr_pull_proxy(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    command.env_clear().args(arguments).output().unwrap()
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config").join(name)
}

fn check(name: &str, more: &[&str]) -> Output {
    let path = sample(name);
    acr_pull_proxy(&[&["check", "--config", path.to_str().unwrap()], more].concat())
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn wrong_usage_is_exit_code_2_and_speaks_on_standard_error() {
    for arguments in [&[][..], &["no-such-command"], &["serve", "--listen", "nowhere"], &["check", "--output", "xml"]] {
        let output = acr_pull_proxy(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(stderr(&output).contains("--help"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn help_was_asked_for_and_is_no_error() {
    let output = acr_pull_proxy(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("Examples:") && stderr(&output).is_empty());
}

#[test]
fn version_names_version_commit_and_target() {
    let output = acr_pull_proxy(&["version"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with(concat!("acr-pull-proxy ", env!("CARGO_PKG_VERSION"), " (commit ")));
    let json: serde_json::Value =
        serde_json::from_slice(&acr_pull_proxy(&["version", "--output", "json"]).stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["target"].as_str().unwrap().contains("linux"));
}

#[test]
fn check_prints_what_takes_effect_with_secrets_masked() {
    for name in ["minimal.yaml", "full.yaml", "acr-configuration.yaml", "managed-addon.json", "mounted"] {
        let output = check(name, &[]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        assert!(stdout(&output).contains("cri-abcd1234efgh5678"), "{name}");
        assert!(!stdout(&output).contains("example-key-secret") && !stderr(&output).contains("example-key-secret"));
    }
    let output = check("acr-configuration.yaml", &[]);
    assert!(stderr(&output).contains("notify-email"), "keys without effect are named");
}

#[test]
fn check_reports_every_problem_at_once_and_ends_with_2() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "listn: 127.0.0.1:1\ninstances:\n  - instanceId: cri-1\n    expireDuration: 60\n";
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();

    let output = acr_pull_proxy(&["check", "--config", path]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""));
    let told = stderr(&output);
    assert!(told.contains("2 problems"), "{told}");
    assert!(told.contains("listn (line 1): unknown key - did you mean 'listen'?"), "{told}");
    assert!(told.contains("instances[0].expireDuration (line 4)"), "{told}");

    let output = acr_pull_proxy(&["check", "--config", path, "--output", "json"]);
    assert_eq!(output.status.code(), Some(2));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["ok"].as_bool(), json["problems"].as_array().map(Vec::len)), (Some(false), Some(2)));
    assert_eq!(json["problems"][1]["path"], "instances[0].expireDuration");

    assert_eq!(acr_pull_proxy(&["serve", "--config", path]).status.code(), Some(2), "serve refuses it too");
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let path = sample("minimal.yaml");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.env_clear().env("ACR_PULL_PROXY_CONFIG", &path).env("ACR_PULL_PROXY_LISTEN", "127.0.0.1:1001");
        let output = command.args(["check", "--output", "json"]).args(arguments).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["config"]["listen"].as_str().unwrap().to_owned()
    };
    assert_eq!(run(&[]), "127.0.0.1:1001");
    assert_eq!(run(&["--listen", "127.0.0.1:1002"]), "127.0.0.1:1002");
}

#[test]
fn a_variable_that_is_empty_says_nothing_and_one_that_is_wrong_is_named() {
    let path = sample("minimal.yaml");
    let run = |value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.env_clear().env("ACR_PULL_PROXY_CONFIG", &path).env("ACR_PULL_PROXY_ADMIN", value);
        command.env("ACR_PULL_PROXY_OUTPUT", "json").arg("check").output().unwrap()
    };
    let output = run("");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("127.0.0.1:7081"));
    let output = run("here");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("ACR_PULL_PROXY_ADMIN in the environment"), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["error"].as_str().unwrap().contains("127.0.0.1:7080"), "an example of what would do: {json}");
}

#[test]
fn the_variable_of_a_switch_takes_the_words_that_people_use() {
    let path = sample("minimal.yaml");
    let strict = |value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.env_clear().env("ACR_PULL_PROXY_HOSTS_STRICT", value).args(["hosts", "print", "--certs-dir", "/none"]);
        let output = command.arg("--config").arg(&path).output().unwrap();
        assert!(output.status.success(), "{value}: {}", stderr(&output));
        stdout(&output).contains("server = \"http://127.0.0.1:7080\"")
    };
    for (value, is_set) in [("1", true), ("true", true), ("YES", true), ("on", true), ("0", false), ("no", false)] {
        assert_eq!(strict(value), is_set, "{value}");
    }
}

#[test]
fn configuration_and_form_are_named_before_a_command_or_behind_it() {
    let path = sample("minimal.yaml");
    let path = path.to_str().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let named = ["--config", path, "--output", "json"];
    for command in
        [&["check"][..], &["version"], &["policy"], &["hosts", "print"], &["hosts", "uninstall", "--certs-dir", empty]]
    {
        let before = acr_pull_proxy(&[&named, command].concat());
        let behind = acr_pull_proxy(&[command, &named].concat());
        assert_eq!(before.status.code(), Some(0), "{command:?}: {}", stderr(&before));
        assert_eq!(stdout(&before), stdout(&behind), "{command:?}");
        serde_json::from_str::<serde_json::Value>(stdout(&before)).unwrap();
    }
}

#[test]
fn policies_come_with_what_is_to_be_known_of_the_configuration() {
    let path = sample("acr-configuration.yaml");
    let output = acr_pull_proxy(&["policy", "--config", path.to_str().unwrap()]);
    let told = stderr(&output);
    assert!(told.contains("note: data.notify-email") && !told.contains("on this machine"), "{told}");
    assert!(!stdout(&output).contains("note:"));
}

#[test]
fn packages_get_completions_and_a_manual_page_of_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = acr_pull_proxy(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("serve") && stdout(&output).contains("log-level"), "{shell}");
    }
    let output = acr_pull_proxy(&["man"]);
    assert_eq!(output.status.code(), Some(0));
    for section in ["\n.SH \"SERVE\"\n", "\n.SH \"HOSTS INSTALL\"\n", "Exit codes: 0 done"] {
        assert!(stdout(&output).contains(section), "{section} is missing in {}", stdout(&output));
    }
}
