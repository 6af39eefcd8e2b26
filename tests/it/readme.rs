//! The README against the program: every key and every metric is in its tables, every example is a good configuration,
//! and every command runs.

pub(crate) mod blocks;
mod commands;
mod scale;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use acr_pull_proxy::telemetry::metrics::Metrics;

/// A key in every section that is like no other, so that the program names those it knows.
const STRANGE: &str = "\
qqqqqqqqqqqqqqqq: 1
rrsa: {qqqqqqqqqqqqqqqq: 1}
instances:
  - instanceId: cri-1
    qqqqqqqqqqqqqqqq: 1
endpoints: {qqqqqqqqqqqqqqqq: 1}
network: {qqqqqqqqqqqqqqqq: 1}
blobs: {qqqqqqqqqqqqqqqq: 1}
clientAuth: {qqqqqqqqqqqqqqqq: 1}
tls: {qqqqqqqqqqqqqqqq: 1}
log: {qqqqqqqqqqqqqqqq: 1}
";

pub(crate) fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The rows of the table between two marks, by the name in the first column.
fn table(mark: &str) -> BTreeMap<String, Vec<String>> {
    let readme = readme();
    let (start, end) = (format!("<!-- {mark} -->"), format!("<!-- /{mark} -->"));
    let between = readme.split(&start).nth(1).and_then(|rest| rest.split(&end).next());
    let between = between.unwrap_or_else(|| panic!("README.md has no table between {start} and {end}"));
    let rows = between.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches('`').to_owned()).collect::<Vec<_>>());
    cells.map(|cells| (cells[0].clone(), cells)).collect()
}

/// Runs `check` on a configuration and gives what it says where it is not content.
fn check(text: &str) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    let output = command.env_clear().args(["check", "--config"]).arg(file.path()).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn every_key_is_in_the_configuration_table_and_no_other() {
    let told = check(STRANGE).unwrap_err();
    let mut known = BTreeSet::new();
    for line in told.lines() {
        let Some((path, keys)) = line.split_once("known here: ") else { continue };
        let section = path.trim().split("qqqq").next().unwrap().replace("[0]", "[]");
        known.extend(keys.split(", ").map(|key| format!("{section}{key}")));
    }
    // A section is told by its keys.
    let sections: BTreeSet<_> = known.iter().filter_map(|key| key.split_once('.')).map(|(name, _)| name).collect();
    let keys: BTreeSet<_> = known.iter().filter(|key| !sections.contains(key.as_str())).cloned().collect();
    assert!(keys.len() > 30, "{told}");
    assert_eq!(table("configuration").into_keys().collect::<BTreeSet<_>>(), keys);
}

#[test]
fn every_command_is_in_the_table_and_no_other() {
    let help = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    // Further lines of a description are indented more.
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help");
    assert_eq!(table("commands").into_keys().collect::<BTreeSet<_>>(), names.map(str::to_owned).collect());
}

#[test]
fn every_metric_is_in_the_metrics_table_with_its_kind_and_labels() {
    let metrics = Metrics::new();
    let table = table("metrics");
    for family in metrics.reference() {
        let row = table.get(&family.name).unwrap_or_else(|| panic!("{} is not in README.md", family.name));
        let labels =
            if family.labels.is_empty() { "–".to_owned() } else { format!("`{}`", family.labels.join("`, `")) };
        let [_, kind, told, _] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!((kind.as_str(), told.as_str()), (family.kind, labels.trim_matches('`')), "{}", family.name);
    }
    let exported: BTreeSet<_> = metrics.reference().iter().map(|family| family.name.as_str()).collect();
    metrics.describe_process("1", "2");
    let text = metrics.render().unwrap();
    for (name, row) in &table {
        let of_process = text.contains(&format!("# TYPE {name} {}\n", row[1]));
        assert!(exported.contains(name.as_str()) || of_process, "{name} is not exported");
    }
}

#[test]
fn every_configuration_in_the_readme_is_a_good_one() {
    let whole = blocks::CONFIGURATION.text();
    if let Err(told) = check(&whole) {
        panic!("{told}\n{whole}");
    }
    for part in [blocks::BLOB_PROXY, blocks::CLIENT_AUTH, blocks::TLS] {
        let text = format!("{whole}{}", part.text());
        if let Err(told) = check(&text) {
            panic!("{told}\n{text}");
        }
    }
}

#[test]
fn blobs_are_handed_to_the_port_that_dfdaemon_is_given() {
    let ours = blocks::BLOB_PROXY.text();
    let port = ours.trim_end().rsplit(':').next().unwrap();
    let theirs: serde_json::Value = serde_saphyr::from_str(&blocks::DFDAEMON.text()).unwrap();
    // The keys are those of Dragonfly's reference of dfdaemon.yaml, and no more than it says that it needs.
    assert_eq!(theirs.to_string(), format!("{{\"proxy\":{{\"server\":{{\"port\":{port}}}}}}}"));
}

/// The heading's anchor, as pages of Markdown are shown with.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|char| char.is_alphanumeric() || matches!(char, '-' | '_')).collect()
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    for page in ["README.md", "systemd/README.md", "daemonset/README.md"] {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https:") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(file.exists(), "{}: {link}", page.display());
            let text = if place.is_empty() { String::new() } else { std::fs::read_to_string(file).unwrap() };
            let mut headings =
                text.lines().filter(|line| line.starts_with("##")).map(|line| line.trim_start_matches('#'));
            let found = place.is_empty() || headings.any(|heading| anchor(heading.trim()) == place);
            assert!(found, "{}: {link}", page.display());
        }
    }
}
