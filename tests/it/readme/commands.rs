//! The commands of the README files that need neither a cluster nor a booted systemd, run as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::blocks::{self, root};

/// The configuration that the page on `hosts.toml` has in mind.
const CONFIGURATION: &str = "\
instances:
  - instanceId: cri-abcd1234efgh5678
    regionId: cn-hangzhou
    domains: demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com
    assumeRoleARN: acs:ram::222222222222:role/acr-pull
";

/// Where the page shows the directory of `hosts.toml` files.
const CERTS_DIR: &str = "/etc/containerd/certs.d";

/// A directory with programs of its own, the daemon's first.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path().join("bin")).unwrap();
        let daemon = env!("CARGO_BIN_EXE_acr-pull-proxy");
        std::os::unix::fs::symlink(daemon, place.path().join("bin/acr-pull-proxy")).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a script into the place of a program.
    fn program(&self, name: &str, script: &str) {
        let file = self.path().join("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs commands here; the first that fails ends them.
    fn try_run(&self, commands: &str, directory: &Path) -> Output {
        let mut shell = Command::new("bash");
        shell.env_clear().env("PATH", format!("{}:/usr/bin:/bin", self.path().join("bin").display()));
        shell.env("ACR_PULL_PROXY_STATE_DIR", self.path().join("state"));
        shell.env("ACR_PULL_PROXY_CONFIG", self.path().join("config.yaml"));
        shell.args(["-euo", "pipefail", "-c", commands]).current_dir(directory).output().unwrap()
    }

    /// The same, where they must succeed; what they print.
    fn run(&self, commands: &str, directory: &Path) -> String {
        let output = self.try_run(commands, directory);
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{commands}\n{told}{}", String::from_utf8_lossy(&output.stderr));
        told
    }
}

/// A node whose containerd says that it is the version of the page, whichever file it is asked about: another one may run
/// beside the tests.
fn node() -> (Place, PathBuf) {
    let place = Place::new();
    let certs = place.path().join("certs.d");
    fs::create_dir(&certs).unwrap();
    fs::write(place.path().join("config.yaml"), CONFIGURATION).unwrap();
    let registry = "[plugins.\"io.containerd.cri.v1.images\".registry]";
    let config = format!("version = 3\n{registry}\nconfig_path = \"{}\"\n", certs.display());
    fs::write(place.path().join("containerd.toml"), config).unwrap();
    let version = blocks::HOSTS.text();
    let version = version.lines().nth(1).and_then(|line| line.strip_prefix("containerd ")?.split(' ').next());
    let version = version.expect("the version of the page");
    place.program(
        "containerd",
        &format!(
            "case \"$*\" in\n--version) echo 'containerd github.com/containerd/containerd v{version} 0123' ;;\n\
             *'config dump') cat '{}' ;;\n*) exit 1 ;;\nesac",
            place.path().join("containerd.toml").display()
        ),
    );
    (place, certs)
}

/// A text without the file that another containerd, which runs beside the tests, was started with.
fn without_config(text: &str) -> String {
    let mut parts = text.split("containerd --config ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}containerd {}", part.split_once(' ').map_or("", |(_, rest)| rest)))
}

/// A transcript: each command with what the page shows it to print.
fn transcript(text: &str) -> Vec<(&str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("# "), commands.last_mut()) {
            (Some(command), _) => commands.push((command, String::new())),
            (None, Some((_, printed))) => printed.push_str(&format!("{line}\n")),
            (None, None) => panic!("a transcript starts with a command: {line}"),
        }
    }
    commands
}

#[test]
fn containerd_is_sent_to_the_daemon_as_the_readme_shows() {
    let (place, certs) = node();
    let text = blocks::HOSTS.text();
    let file = certs.join("demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/hosts.toml");
    let mut installed = false;
    for (command, shown) in transcript(&text) {
        let printed = place.run(command, place.path()).replace(&certs.display().to_string(), CERTS_DIR);
        let printed = without_config(&printed);
        // What is shown without its output says in a comment what it does.
        assert!(shown == printed || (shown.is_empty() && command.contains("   # ")), "{command}\n{printed}");
        if command == "acr-pull-proxy hosts install" {
            assert_eq!(fs::read_to_string(&file).unwrap(), blocks::ENTRY.text(), "{command}");
            installed = true;
        }
    }
    assert!(installed && !file.exists(), "the transcript ends where it began");
}

#[test]
fn who_moves_as_the_readme_says_has_a_good_configuration() {
    let place = Place::new();
    let sample = root().join("tests/data/config/acr-configuration.yaml");
    let asked = "[ \"$*\" = '-n kube-system get configmap acr-configuration -o yaml' ]";
    place.program("kubectl", &format!("{asked} && cat '{}'", sample.display()));
    let printed = place.run(&blocks::MOVE.text(), place.path());
    assert!(printed.contains("sts:AssumeRole"), "{printed}");
    let config = fs::read_to_string(place.path().join("config.yaml")).unwrap();
    assert!(config.contains("cri-abcd1234efgh5678"), "{config}");
}

#[test]
fn an_overlay_is_checked_as_the_readme_says() {
    let place = Place::new();
    let printed = place.run(&blocks::OVERLAY.text(), &root().join("daemonset"));
    assert!(printed.contains("sts:AssumeRole"), "{printed}");
    let wrong = place.try_run(&blocks::OVERLAY.text().replace("rrsa/", "none/"), &root().join("daemonset"));
    assert!(!wrong.status.success(), "a command that fails is noticed");
}

#[test]
fn the_directories_of_the_daemonset_are_those_it_names() {
    let text = blocks::TREE.text();
    let named: Vec<_> = text.lines().filter_map(|line| line.split("  ").next()).collect();
    for directory in &named {
        assert!(root().join("daemonset").join(directory).join("kustomization.yaml").is_file(), "{directory}");
    }
    for group in ["overlays", "components"] {
        for entry in fs::read_dir(root().join("daemonset").join(group)).unwrap() {
            let name = format!("{group}/{}/", entry.unwrap().file_name().to_str().unwrap());
            assert!(named.contains(&name.as_str()), "{name} is not in the README");
        }
    }
}

#[test]
fn every_kubectl_command_names_what_the_manifests_hold() {
    for block in [blocks::ROLLOUT, blocks::DELETE] {
        for line in block.text().lines() {
            let line = line.split("   # ").next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            match &words[..] {
                ["kubectl", "apply", "-k", directory]
                | ["kubectl", "delete", "-k", directory]
                | ["kubectl", "delete", "--cascade=foreground", "-k", directory] => {
                    assert!(root().join("daemonset").join(directory).join("kustomization.yaml").is_file(), "{line}");
                }
                ["kubectl", "-n", "kube-system", "rollout", "status", set] => is_kept(set, None),
                ["kubectl", "-n", "kube-system", "delete", "configmap", "-l", label] => {
                    let (key, value) = label.split_once('=').expect("a label");
                    let kept = fs::read_to_string(root().join("tests/data/daemonset/rrsa.yaml")).unwrap();
                    let map = kept.split("\n---\n").find(|object| object.contains("\nkind: ConfigMap\n")).unwrap();
                    assert!(map.contains(&format!("    {key}: {value}\n")), "{line}");
                }
                ["kubectl", "-n", "kube-system", "exec", set, "-c", container, "--", program, rest @ ..] => {
                    is_kept(set, Some(container));
                    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
                    assert!(dockerfile.contains(&format!("ENTRYPOINT [\"{program}\"]")), "{line}");
                    let help = format!("acr-pull-proxy {} --help", rest[0]);
                    assert!(rest.iter().all(|word| !word.starts_with("--") || *word == "--image"), "{line}");
                    assert!(Place::new().run(&help, &root()).contains("--image"));
                }
                _ => panic!("a command that this test does not know: {line}"),
            }
        }
    }
}

/// `hosts-watch` would write again what the cleanup takes out.
#[test]
fn the_pods_are_gone_before_the_entries_are_taken_out() {
    let text = blocks::DELETE.text();
    let at = |command: &str| {
        text.lines().position(|line| line.starts_with(command)).unwrap_or_else(|| panic!("no '{command}' in {text}"))
    };
    assert!(at("kubectl delete --cascade=foreground -k overlays/") < at("kubectl apply -k cleanup"), "{text}");
}

/// `daemonset/NAME` must be among the manifests, in `kube-system`, with this container.
fn is_kept(set: &str, container: Option<&str>) {
    let name = set.strip_prefix("daemonset/").expect("a DaemonSet");
    let files = ["rrsa", "cleanup"].map(|file| root().join(format!("tests/data/daemonset/{file}.yaml")));
    let found = files.iter().any(|file| {
        let text = fs::read_to_string(file).unwrap();
        let objects = text.split("\n---\n").map(|object| serde_saphyr::from_str::<serde_json::Value>(object).unwrap());
        objects.into_iter().any(|object| {
            let containers = object["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
            object["kind"] == "DaemonSet"
                && object["metadata"]["name"] == name
                && object["metadata"]["namespace"] == "kube-system"
                && container.is_none_or(|container| containers.iter().any(|found| found["name"] == container))
        })
    });
    assert!(found, "{set} {container:?}");
}

#[test]
fn the_demonstration_runs() {
    let command = blocks::DEMO.text();
    let name = command.trim().strip_prefix("cargo run --release --example ").expect("an example");
    // `cargo test` has built it beside the daemon, without the minutes of an optimised build.
    let example = Path::new(env!("CARGO_BIN_EXE_acr-pull-proxy")).with_file_name("examples").join(name);
    if !example.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--quiet", "--locked", "--example", name]).status();
        assert!(built.unwrap().success(), "{name}");
    }
    let output = Command::new(example).arg("--once").current_dir(root()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("every digest verified"), "{told}");
}

#[test]
fn all_tests_are_run_by_the_script_that_the_readme_names() {
    let place = Place::new();
    let bin = place.path().join("bin");
    // A machine of somebody who is not root, where nothing is installed and one test fails.
    for program in ["bash", "dirname"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(program), bin.join(program)).unwrap();
    }
    place.program("id", "echo 1000");
    place.program("cargo", "printf '%s\\n' \"$@\" >\"$ASKED\"\nexit 101");
    let asked = place.path().join("asked");
    let mut script = Command::new(root().join(blocks::TESTS.text().trim()));
    let output = script.env_clear().env("PATH", &bin).env("ASKED", &asked).arg("chosen::").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(101), "{told}{}", String::from_utf8_lossy(&output.stderr));

    let asked = fs::read_to_string(asked).unwrap();
    let mut asked = asked.lines();
    let ours: Vec<_> = asked.by_ref().take_while(|word| *word != "--").collect();
    assert_eq!(ours, ["test", "--workspace", "--locked", "--no-fail-fast"]);
    let harness: Vec<_> = asked.collect();
    let (chosen, skipped) = harness.split_last().unwrap();
    assert_eq!(*chosen, "chosen::");
    // What is left out is there, and is told; nothing else is.
    let all = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let all = String::from_utf8(all.stdout).unwrap();
    assert!(skipped.len() > 20, "{skipped:?}");
    for pair in skipped.chunks(2) {
        let ["--skip", name] = pair else { panic!("{pair:?}") };
        assert!(all.lines().any(|test| test.contains(name)), "there is no test {name}");
        assert!(told.lines().any(|line| line.starts_with("SKIPPED: ") && line.contains(name)), "{name}: {told}");
    }
}

#[test]
fn every_command_in_the_text_is_one_of_the_program() {
    for page in ["README.md", "systemd/README.md", "daemonset/README.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        for command in text.split("`acr-pull-proxy ").skip(1).filter_map(|rest| rest.split('`').next()) {
            let name = command.split_whitespace().next().unwrap_or_default();
            let told = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy")).args([name, "--help"]).output().unwrap();
            let help = String::from_utf8(told.stdout).unwrap();
            assert!(told.status.success(), "{page}: {command}");
            for flag in command.split_whitespace().filter(|word| word.starts_with("--")) {
                let sub = command.split_whitespace().nth(1).unwrap_or_default();
                let of_sub = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy")).args([name, sub, "--help"]).output();
                let of_sub = String::from_utf8(of_sub.unwrap().stdout).unwrap();
                assert!(help.contains(flag) || of_sub.contains(flag), "{page}: {command}: {flag}");
            }
        }
    }
}
