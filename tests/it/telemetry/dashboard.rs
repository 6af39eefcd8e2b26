//! The dashboard as Grafana reads it: its own consistency, and every panel with what a real Prometheus has for it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tokio::time::Instant;

use super::prometheus::Prometheus;
use super::{INSTANCE, LIMIT, POLL, pull_everything};
use crate::support::{DOMAIN, Node, TAG};

/// Units of Grafana that the panels use; another one may be a slip of the pen, which Grafana shows as text.
const UNITS: [&str; 8] = ["short", "s", "percentunit", "Bps", "bytes", "reqps", "ops", "none"];

/// The window of rates here, where Prometheus scrapes each second.
const RATE_INTERVAL: &str = "10s";

fn dashboard() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("daemonset/components/prometheus/dashboard.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn list(of: &Value) -> &[Value] {
    of.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The words between `{{` and `}}`.
fn labels_of(legend: &str) -> BTreeSet<&str> {
    legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim).collect()
}

#[test]
fn every_panel_is_complete_and_every_variable_is_used() {
    let dashboard = dashboard();
    // The version of Grafana 10; a newer Grafana migrates it, an older one takes it as it is.
    assert_eq!((&dashboard["schemaVersion"], &dashboard["uid"]), (&39.into(), &"acr-pull-proxy".into()));
    assert!(dashboard["id"].is_null(), "an id belongs to one Grafana");
    let source = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    let mut queries = String::new();
    let mut titles = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let title = panel["title"].as_str().unwrap();
        assert!(titles.insert(title), "{title} twice");
        if panel["type"] == "row" {
            assert!(list(&panel["panels"]).is_empty() && panel["collapsed"] == false, "{title}");
            continue;
        }
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert_eq!(panel["datasource"], source, "{title}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        assert!(UNITS.contains(&unit), "{title}: {unit}");
        let mut ids = BTreeSet::new();
        assert!(!list(&panel["targets"]).is_empty(), "{title} asks nothing");
        for target in list(&panel["targets"]) {
            assert!(ids.insert(target["refId"].as_str().unwrap()), "{title}: two queries of one name");
            queries.push_str(target["expr"].as_str().unwrap());
        }
    }
    for variable in list(&dashboard["templating"]["list"]) {
        let name = variable["name"].as_str().unwrap();
        if name == "datasource" {
            assert_eq!((&variable["type"], &variable["query"]), (&"datasource".into(), &"prometheus".into()));
            continue;
        }
        assert_eq!(variable["datasource"], source, "{name}");
        assert!(queries.contains(&format!("=~\"${name}\"")), "{name} narrows nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_something_of_a_daemon_that_pulls() {
    let node = Node::start().await;
    let prometheus = Prometheus::start(node.daemon.admin).await;
    let fill = |query: &str| {
        let query = query.replace("$__rate_interval", RATE_INTERVAL);
        query.replace("$node", ".*").replace("$instance", ".*")
    };
    let dashboard = dashboard();
    let panels = list(&dashboard["panels"]).iter();
    let mut missing: Vec<_> = panels
        .flat_map(|panel| list(&panel["targets"]).iter().map(move |target| (&panel["title"], target)))
        .map(|(title, target)| (title, fill(target["expr"].as_str().unwrap()), target["legendFormat"].as_str()))
        .collect();
    assert!(missing.len() > 30, "{}", missing.len());
    let deadline = Instant::now() + LIMIT;
    for round in 0.. {
        pull_everything(&node).await;
        // A repository that nobody has asked for yet needs a bearer of its own.
        let repository = format!("team/app-{round}");
        node.cloud.push(INSTANCE, &repository, TAG, &node.image).expect("pushed");
        node.mirror.get(&format!("/v2/{repository}/manifests/{TAG}?ns={DOMAIN}")).await.expect(200);
        let mut still = Vec::new();
        for (title, query, legend) in missing.drain(..) {
            let series = prometheus.series(&query).await;
            // A rate over nothing is no number.
            let told = series.iter().any(|one| one["value"][1] != "NaN");
            for one in &series {
                for label in labels_of(legend.unwrap_or_default()) {
                    assert!(one["metric"][label].is_string(), "{title}: {query} has no label {label}: {one}");
                }
            }
            if !told {
                still.push((title, query, legend));
            }
        }
        missing = still;
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "panels stay empty: {missing:#?}");
        tokio::time::sleep(POLL).await;
    }
    for variable in list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query") {
        let query = fill(variable["query"]["query"].as_str().unwrap());
        let (selector, label) = query.strip_prefix("label_values(").unwrap().rsplit_once(", ").unwrap();
        let series = prometheus.series(selector).await;
        assert!(series.iter().any(|one| one["metric"][label.trim_end_matches(')')].is_string()), "{query}: {series:?}");
    }
    drop(prometheus);
    node.finish().await;
}
