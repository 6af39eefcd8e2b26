//! The configuration of the component that is being replaced, read unchanged: the ConfigMap `acr-configuration` as a
//! file or mounted as files, and the JSON of the managed add-on.
//!
//! Keys that have no effect here are accepted and noted: nobody has to edit a configuration that works in order to
//! move over, and nobody has to guess what became of it.

use super::Config;
use super::document::{self, Lines, Node, Value};
use super::environment::Environment;
use super::file::{read_rrsa, threshold};
use super::instance;
use super::load::Overlay;
use super::problem::{Findings, Place};
use super::reader::{Field, Section};
use super::settings::Settings;

/// The name of the ConfigMap in the namespace `kube-system`.
const NAME: &str = "acr-configuration";

/// The key that holds the instances.
pub(super) const INSTANCES: &str = "acr-registry-info";

/// The key that holds them in the managed add-on's JSON.
pub(super) const ADDON_INSTANCES: &str = "AcrInstanceInfo";

/// Keys whose work is not needed here, with the reason.
const WITHOUT_EFFECT: [(&str, &str); 5] = [
    ("acr-api-version", "the version of the API is fixed"),
    ("service-account", "no ServiceAccount is touched: the mirror serves every pod of the node"),
    ("watch-namespace", "no namespace is watched: the mirror serves every pod of the node"),
    ("notify-email", "failures are in the log, the metrics and the status page"),
    ("webhook-configuration", "no webhook is needed: the mirror serves a pod from its first pull on"),
];

/// The same for the add-on's spelling.
const ADDON_WITHOUT_EFFECT: [(&str, &str); 4] = [
    ("serviceAccount", "no ServiceAccount is touched: the mirror serves every pod of the node"),
    ("watchNamespace", "no namespace is watched: the mirror serves every pod of the node"),
    ("notifyEmail", "failures are in the log, the metrics and the status page"),
    ("tokenMode", "the first credential follows from each entry"),
];

/// What reading needs beside the document.
pub(super) struct Surroundings<'a> {
    pub(super) environment: &'a Environment,
    pub(super) overlay: &'a Overlay,
    pub(super) findings: &'a Findings,
}

/// Reads `kind: ConfigMap`.
pub(super) fn read_config_map(root: &Field<'_>, around: &Surroundings<'_>) -> Option<Config> {
    root.section(|section| {
        for ignored in ["apiVersion", "kind", "immutable", "binaryData"] {
            section.field(ignored);
        }
        let metadata = section.field("metadata");
        let name = metadata.iter().flat_map(Field::pairs).find(|(key, _)| *key == "name");
        match name.and_then(|(_, field)| field.text()) {
            Some(NAME) => {}
            _ => around.findings.note(
                &section.place_of("metadata"),
                format!("this ConfigMap is not named {NAME}"),
                format!("its key {INSTANCES} is read all the same"),
            ),
        }
        let Some(data) = section.field("data") else {
            around.findings.problem(&section.place_of("data"), "the ConfigMap has no data", "add data to it");
            return None;
        };
        read_data(&data, around)
    })
    .flatten()
}

/// Reads the keys of the ConfigMap: `data` of the file, or one file each.
pub(super) fn read_data(data: &Field<'_>, around: &Surroundings<'_>) -> Option<Config> {
    data.section(|section| {
        let mut settings = Settings::new(around.environment, around.findings);
        note_without_effect(section, &WITHOUT_EFFECT);
        if let Some(threshold) = section.field("expiring-threshold").and_then(|field| field.parsed(threshold)) {
            settings.expiring_threshold = threshold;
        }
        if let Some(field) = section.field("rrsa") {
            embedded(&field, |field| field.section(|rrsa| read_rrsa(rrsa, &mut settings)));
        }
        settings.overlay(around.overlay);
        let instances = section.field(INSTANCES);
        missing_instances(section, INSTANCES, instances.is_none());
        let instances = instances
            .and_then(|field| embedded(&field, |field| instance::read_all(field, &settings, around.environment)));
        settings.complete(instances.unwrap_or_default(), around.findings)
    })
}

/// Reads the JSON of the managed add-on.
pub(super) fn read_addon(root: &Field<'_>, around: &Surroundings<'_>) -> Option<Config> {
    root.section(|section| {
        let mut settings = Settings::new(around.environment, around.findings);
        note_without_effect(section, &ADDON_WITHOUT_EFFECT);
        if let Some(threshold) = section.field("expiringThreshold").and_then(|field| field.parsed(threshold)) {
            settings.expiring_threshold = threshold;
        }
        settings.rrsa.enable = section.field("enableRRSA").and_then(|field| field.flag());
        settings.overlay(around.overlay);
        let instances = section.field(ADDON_INSTANCES);
        missing_instances(section, ADDON_INSTANCES, instances.is_none());
        let instances = instances.map(|field| instance::read_all(&field, &settings, around.environment));
        settings.complete(instances.unwrap_or_default(), around.findings)
    })
}

fn missing_instances(section: &Section<'_>, key: &str, missing: bool) {
    if missing {
        section.findings.problem(&section.place_of(key), "no instance is configured", "add one entry per ACR instance");
    }
}

fn note_without_effect(section: &Section<'_>, keys: &[(&'static str, &str)]) {
    for (key, reason) in keys {
        if let Some(field) = section.field(key) {
            field.note("this key has no effect here", *reason);
        }
    }
}

/// Reads the YAML that stands in a string, as the ConfigMap has it; lines and paths go on from where the string stands.
fn embedded<T>(field: &Field<'_>, read: impl FnOnce(&Field<'_>) -> T) -> Option<T> {
    let Value::Scalar(scalar) = &field.node.value else { return Some(read(field)) };
    match document::parse(&scalar.text, scalar.lines) {
        Ok(node) => {
            Some(read(&Field { place: Place { line: Some(node.line), ..field.place.clone() }, node: &node, ..*field }))
        }
        Err(problem) => {
            let place = Place { path: field.place.path.clone(), line: problem.line };
            field.findings.problem(&place, problem.text, problem.hint.unwrap_or_default());
            None
        }
    }
}

/// A node of the mounted ConfigMap: one text per file.
pub(super) fn of_files(files: impl IntoIterator<Item = (String, String)>) -> Node {
    let entry = |(key, text): (String, String)| {
        let value = Value::Scalar(document::Scalar { text, lines: Lines::From(1) });
        document::Entry { key, line: 1, value: Node { line: 1, value } }
    };
    Node { line: 1, value: Value::Map(files.into_iter().map(entry).collect()) }
}
