//! The rules and the dashboard beside the manifests, held against what the daemon exports and run by `promtool`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acr_pull_proxy::telemetry::metrics::{Family, Metrics};
use serde_json::Value;

/// What our names begin with: `_` for those of the daemon, `:` for recorded ones.
const PREFIX: &str = "acr_pull_proxy";

/// Labels that the scrape adds, or the text format.
const ADDED: [&str; 3] = ["node", "job", "le"];

fn component(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("daemonset/components/prometheus").join(file)
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/prometheus/alerts.yaml")
}

fn yaml(file: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string(component("dashboard.json")).unwrap()).unwrap()
}

/// All rules of one kind (`alert`, `record`).
fn rules(kind: &str) -> Vec<Value> {
    let file = yaml(&component("rules.yaml"));
    let groups = file["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.filter(|rule| rule[kind].is_string()).cloned().collect()
}

/// Every query of the dashboard with the title of its panel.
fn queries() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of_panel = |panel: &Value| -> Vec<(String, String)> {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        targets.iter().map(|target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned())).collect()
    };
    panels.flat_map(of_panel).collect()
}

fn promtool(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool").args(arguments).arg(file).output();
    let output = output.expect("promtool is installed: tests/run does that, or names this test as left out");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?} {}: {said}", file.display());
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    promtool(&["check", "rules"], &component("rules.yaml"));
    promtool(&["test", "rules"], &cases());
    for case in yaml(&cases())["tests"].as_array().unwrap() {
        let well = case["input_series"]
            .as_array()
            .unwrap()
            .iter()
            .any(|series| series["series"].as_str().unwrap().contains("node=\"well\""));
        assert!(well, "'{}' has no node that is well", case["name"]);
    }
    let cases = fs::read_to_string(cases()).unwrap();
    for alert in rules("alert") {
        let name = alert["alert"].as_str().unwrap();
        let asked = cases.matches(&format!("alertname=\"{name}\"")).count();
        assert!(asked > 0, "{name} has no case in which it fires");
    }
}

#[test]
fn every_alert_says_what_is_what_it_means_and_what_to_do() {
    for alert in rules("alert") {
        for (part, key) in [("annotations", "summary"), ("annotations", "description"), ("annotations", "runbook")] {
            let text = alert[part][key].as_str().unwrap_or_default();
            assert!(text.ends_with('.'), "{} of {}: {text:?}", key, alert["alert"]);
        }
        let severity = alert["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{}: {severity}", alert["alert"]);
    }
}

#[test]
fn the_operator_is_given_the_same_rules() {
    let rules = yaml(&component("rules.yaml"));
    let wrapped = yaml(&component("prometheusrule.yaml"));
    assert_eq!(wrapped["spec"]["groups"], rules["groups"]);
}

#[test]
fn rules_and_dashboard_ask_for_what_is_exported_and_for_nothing_else() {
    let metrics = Metrics::new();
    let recorded: BTreeSet<String> =
        rules("record").iter().map(|rule| rule["record"].as_str().unwrap().to_owned()).collect();
    let of_rules = ["alert", "record"].into_iter().flat_map(|kind| {
        rules(kind).into_iter().map(move |rule| (rule[kind].as_str().unwrap().to_owned(), rule["expr"].clone()))
    });
    let of_rules = of_rules.map(|(name, expr)| (name, expr.as_str().unwrap().to_owned()));
    let mut wrong = Vec::new();
    for (place, query) in of_rules.chain(queries()) {
        for (name, labels) in selectors(&query) {
            if recorded.contains(&name) {
                continue;
            }
            match family(metrics.reference(), &name) {
                None => wrong.push(format!("{place}: nothing is exported as {name}")),
                Some(family) => wrong.extend(
                    labels
                        .iter()
                        .filter(|label| !family.labels.contains(label) && !ADDED.contains(&label.as_str()))
                        .map(|label| format!("{place}: {name} has no label {label}")),
                ),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_family_is_on_the_dashboard() {
    let queries: String = queries().into_iter().map(|(_, query)| query + "\n").collect();
    for family in Metrics::new().reference() {
        assert!(queries.contains(&family.name), "{} is on no panel", family.name);
    }
}

#[test]
fn every_query_of_the_dashboard_is_one_to_prometheus() {
    let mut text = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, (_, query)) in queries().into_iter().enumerate() {
        let query = query.replace("$__rate_interval", "5m").replace("$node", ".*").replace("$instance", ".*");
        assert!(!query.contains('$'), "an unknown variable in {query}");
        text.push_str(&format!("  - record: query:{number}\n    expr: {}\n", Value::from(query)));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    promtool(&["check", "rules"], file.path());
}

#[test]
fn panels_have_a_place_each_and_name_the_data_source_by_its_variable() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "an id twice: {panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{} is wider than the grid", panel["title"]);
        for place in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} lies on another panel", panel["title"]);
        }
        for target in panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        }
    }
}

/// The family that a name in a query belongs to.
fn family<'a>(reference: &'a [Family], name: &str) -> Option<&'a Family> {
    let plain = reference.iter().find(|family| family.name == name && family.kind != "histogram");
    plain.or_else(|| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
        reference.iter().find(|family| family.name == base && family.kind == "histogram")
    })
}

/// Our names in a query, each with the labels that are matched on it.
fn selectors(query: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(PREFIX) {
        rest = rest.split_at(start).1;
        let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_' && next != ':').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let matchers = after.strip_prefix('{').and_then(|after| after.split_once('}')).map_or("", |(inside, _)| inside);
        let labels = matchers.split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
        let labels = labels.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
        found.push((name.to_owned(), labels.collect()));
        rest = after;
    }
    found
}

#[test]
fn the_reader_of_queries_finds_names_and_labels() {
    let found = selectors(r#"sum(rate(acr_pull_proxy_a_total{x="1", y=~"2|3", z!=""}[5m])) / acr_pull_proxy:b:ratio"#);
    let labels = ["x", "y", "z"].map(str::to_owned).to_vec();
    assert_eq!(
        found,
        [("acr_pull_proxy_a_total".to_owned(), labels), ("acr_pull_proxy:b:ratio".to_owned(), Vec::new())]
    );
}
