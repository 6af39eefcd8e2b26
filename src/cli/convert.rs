//! `convert`: our configuration for an `acr-configuration`, with the reason for every key that has no effect here.
//!
//! Offline, and independent of the environment. A secret is never printed: its entry names the file to put it in.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Form;
use super::output::{Failure, print, print_json};
use crate::config::{Environment, Loaded, Overlay, Problem, is_ours, load};

/// The answer for programs.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    configuration: &'a str,
    notes: &'a [Problem],
}

/// What needs no line in a configuration, since it is so without one (contract section 2).
const DEFAULTS: [(&str, &str); 5] = [
    ("expiringThreshold", "15m"),
    ("tokenFile", "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token"),
    ("expireDuration", "3600"),
    ("credentialSource", "auto"),
    ("sessionPolicy", "pullOnly"),
];

/// The keys of an entry in the order of the documentation.
const KEYS: [&str; 14] = [
    "instanceId",
    "regionId",
    "domains",
    "rrsaRoleARN",
    "rrsaOIDCProviderRoleARN",
    "assumeRoleARN",
    "expireDuration",
    "customAccessKeyFile",
    "customAccessKeySecretFile",
    "credentialSource",
    "pullFrom",
    "repositories",
    "sessionPolicy",
    "externalId",
];

/// Where a key pair goes that stood in the ConfigMap in clear text.
const KEY_DIRECTORY: &str = "/etc/acr-pull-proxy";

pub(super) fn run(path: &Path, form: Form) -> Result<(), Failure> {
    if is_ours(path) {
        let what = format!("{} is in our own format already", path.display());
        return Err(Failure::usage(what, "name an acr-configuration with --config PATH"));
    }
    let Loaded { config, mut notes } =
        load(path, &Environment::default(), &Overlay::default()).map_err(Failure::Configuration)?;
    notes.retain(Problem::is_in_the_file);
    let effective = serde_json::to_value(config.effective())
        .map_err(|error| Failure::runtime(error.to_string(), "report this as a defect"))?;
    let configuration = format!("{}{}", remarks(path, &notes), yaml(&effective));
    match form {
        Form::Text => print(&configuration),
        Form::Json => print_json(&Answer { configuration: &configuration, notes: &notes }),
    }
}

fn remarks(path: &Path, notes: &[Problem]) -> String {
    let mut text =
        format!("# Converted from {}. What it says that has no effect here, or should be known:\n", path.display());
    if notes.is_empty() {
        text.push_str("#   nothing\n");
    }
    for note in notes {
        text.push_str(&format!("#   {note}\n"));
    }
    text
}

/// The settings that differ from the defaults, and the instances.
fn yaml(effective: &Value) -> String {
    let mut text = String::new();
    if let Some(threshold) = said(effective, "expiringThreshold") {
        text.push_str(&format!("expiringThreshold: {threshold}\n"));
    }
    let rrsa = &effective["rrsa"];
    let lines: Vec<_> =
        ["enable", "tokenFile"].iter().filter_map(|key| Some(format!("  {key}: {}\n", said(rrsa, key)?))).collect();
    if !lines.is_empty() {
        text.push_str(&format!("rrsa:\n{}", lines.concat()));
    }
    text.push_str("instances:\n");
    for (index, entry) in effective["instances"].as_array().into_iter().flatten().enumerate() {
        if let Value::Object(entry) = entry {
            text.push_str(&instance(entry.clone(), index));
        }
    }
    text
}

fn instance(mut entry: Map<String, Value>, index: usize) -> String {
    let mut text = String::new();
    if entry.contains_key("customAccessKey") {
        let name = entry.get("instanceId").and_then(Value::as_str).filter(|id| !id.is_empty());
        let stem = name.map_or_else(|| format!("instance-{index}"), str::to_owned);
        for (key, part) in [("customAccessKeyFile", "id"), ("customAccessKeySecretFile", "secret")] {
            entry.insert(key.to_owned(), Value::from(format!("{KEY_DIRECTORY}/{stem}.key-{part}")));
        }
        text.push_str(
            "  # Put customAccessKey and customAccessKeySecret of the old configuration into the two files, mode 0600.\n",
        );
    }
    let entry = Value::Object(entry);
    let lines = KEYS.iter().filter_map(|key| Some(format!("{key}: {}\n", said(&entry, key)?)));
    for (number, line) in lines.enumerate() {
        text.push_str(if number == 0 { "  - " } else { "    " });
        text.push_str(&line);
    }
    text
}

/// A value as YAML, unless it goes without saying. JSON is YAML, so that nothing needs rules of its own.
fn said(section: &Value, key: &str) -> Option<String> {
    let value = section.get(key)?;
    let is_default = |text: &str| DEFAULTS.contains(&(key, text));
    let text = match value {
        Value::Null => return None,
        Value::String(text) if is_default(text) => return None,
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(scalar).collect();
            match items.as_slice() {
                [only] => only.clone(),
                _ => format!("[{}]", items.join(", ")),
            }
        }
        other => other.to_string(),
    };
    (!is_default(&text)).then_some(text)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether YAML reads it as this very text without quotes: it begins with a letter or a slash, and holds nothing special.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@".contains(&byte);
    // An ARN holds colons, which are special before a space only.
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        && text.bytes().all(|byte| plain(byte) || byte == b':')
        && !text.ends_with(':')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_plain, said};

    #[test]
    fn what_goes_without_saying_is_not_said() {
        let entry = json!({"sessionPolicy": "pullOnly", "expireDuration": 43200, "domains": ["a.b", "c.d"], "x": null});
        assert_eq!(said(&entry, "sessionPolicy"), None);
        assert_eq!(said(&entry, "x"), None);
        assert_eq!(said(&json!({"expiringThreshold": "15m"}), "expiringThreshold"), None);
        assert_eq!(said(&json!({"expiringThreshold": "5m"}), "expiringThreshold").unwrap(), "\"5m\"");
        assert_eq!(said(&entry, "expireDuration").unwrap(), "43200");
        assert_eq!(said(&entry, "domains").unwrap(), "[a.b, c.d]");
    }

    #[test]
    fn what_yaml_would_read_otherwise_is_quoted() {
        assert_eq!(said(&json!({"instanceId": ""}), "instanceId").unwrap(), "\"\"");
        assert_eq!(said(&json!({"repositories": ["team/*"]}), "repositories").unwrap(), "\"team/*\"");
        for text in ["true", "1", "a: b", "a #b", "*", "{", "a:", ""] {
            assert!(!is_plain(text), "{text}");
        }
        assert!(is_plain("acs:ram::222222222222:role/acr-pull"));
    }
}
