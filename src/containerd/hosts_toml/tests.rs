//! Exact texts, and for texts of all kinds: what is not ours is never lost.

use proptest::prelude::*;
use toml_edit::DocumentMut;

use super::{HostsToml, MergeError, Ownership};
use crate::containerd::{Entry, Server};
use crate::oci::RegistryHost;

const DOMAIN: &str = "demo-registry.cn-hangzhou.cr.aliyuncs.com";

/// What an admin may have: comments, certificates, another mirror.
const ADMIN: &str = r#"# Ask team storage before you change this.
server = "https://demo-registry.cn-hangzhou.cr.aliyuncs.com" # the VPC name is blocked
ca = "/etc/certs/corp.pem"

# The cache of the data centre.
[host."https://cache.corp.example"]
  capabilities = ["pull"]   # no resolve: it lags
  [host."https://cache.corp.example".header]
    x-team = "storage"

[host."https://second.corp.example"]
"#;

fn entry() -> Entry {
    Entry::new("127.0.0.1:7080".parse().unwrap())
}

fn fallback() -> Server {
    Server::Fallback(RegistryHost::parse(DOMAIN).unwrap())
}

fn merged(text: &str, server: &Server) -> String {
    HostsToml::parse(text).with(&entry(), server).unwrap()
}

/// A text with the hash and version of our marker replaced, which change with every release.
fn without_hash(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        lines.push(if line.starts_with(super::BEGIN) { "# acr-pull-proxy begin …\n" } else { line });
    }
    lines.concat()
}

#[test]
fn a_file_of_our_own_falls_back_to_the_registry() {
    let expected = r#"server = "https://demo-registry.cn-hangzhou.cr.aliyuncs.com" # acr-pull-proxy

# acr-pull-proxy begin …
[host."http://127.0.0.1:7080"]
  capabilities = ["pull", "resolve"]
# acr-pull-proxy end
"#;
    assert_eq!(without_hash(&merged("", &fallback())), expected);
    let strict = expected.replace("https://demo-registry.cn-hangzhou.cr.aliyuncs.com", "http://127.0.0.1:7080");
    assert_eq!(without_hash(&merged("", &Server::Strict)), strict);
}

#[test]
fn in_a_file_of_the_admin_our_entry_comes_first_and_nothing_else_changes() {
    let expected = r#"# Ask team storage before you change this.
server = "https://demo-registry.cn-hangzhou.cr.aliyuncs.com" # the VPC name is blocked
ca = "/etc/certs/corp.pem"

# acr-pull-proxy begin …
[host."http://127.0.0.1:7080"]
  capabilities = ["pull", "resolve"]
# acr-pull-proxy end

# The cache of the data centre.
[host."https://cache.corp.example"]
  capabilities = ["pull"]   # no resolve: it lags
  [host."https://cache.corp.example".header]
    x-team = "storage"

[host."https://second.corp.example"]
"#;
    let text = merged(ADMIN, &fallback());
    assert_eq!(without_hash(&text), expected);
    let parsed = HostsToml::parse(&text);
    assert_eq!(parsed.foreign(), ADMIN);
    assert_eq!(parsed.ownership(), Ownership::Intact);
    assert_eq!(parsed.other_hosts(), ["https://cache.corp.example", "https://second.corp.example"]);
}

#[test]
fn strict_keeps_the_admins_server_as_a_comment() {
    let text = merged(ADMIN, &Server::Strict);
    let kept = "# acr-pull-proxy keeps: server = \"https://demo-registry.cn-hangzhou.cr.aliyuncs.com\" # the VPC name is \
                blocked\nserver = \"http://127.0.0.1:7080\" # acr-pull-proxy\nca = ";
    assert!(text.contains(kept), "{text}");
    assert_eq!(HostsToml::parse(&text).foreign(), ADMIN);
    // And back again, without a trace of it.
    assert_eq!(merged(&text, &fallback()), merged(ADMIN, &fallback()));
}

#[test]
fn installing_again_changes_nothing_and_a_new_port_replaces_the_old() {
    for server in [fallback(), Server::Strict] {
        for base in ["", ADMIN] {
            let text = merged(base, &server);
            assert_eq!(merged(&text, &server), text);
            let moved = Entry::new("127.0.0.1:7090".parse().unwrap());
            let moved = HostsToml::parse(&text).with(&moved, &server).unwrap();
            assert!(moved.contains("127.0.0.1:7090") && !moved.contains("127.0.0.1:7080"), "{moved}");
            assert_eq!(HostsToml::parse(&moved).foreign(), base);
        }
    }
}

#[test]
fn an_edit_of_our_entry_is_seen_and_one_beside_it_is_kept() {
    let text = merged(ADMIN, &fallback());
    let altered = text.replace("[\"pull\", \"resolve\"]", "[\"pull\"]");
    assert_eq!(HostsToml::parse(&altered).ownership(), Ownership::Altered);
    let own = merged("", &fallback());
    let altered = own.replace("https://demo-registry", "https://other-registry");
    assert_eq!(HostsToml::parse(&altered).ownership(), Ownership::Altered, "the server line is ours as well");

    let beside = text.replace("storage\"", "network\"") + "\n[host.\"https://third.corp.example\"]\n";
    let parsed = HostsToml::parse(&beside);
    assert_eq!(parsed.ownership(), Ownership::Intact);
    assert_eq!(parsed.foreign(), ADMIN.replace("storage\"", "network\"") + "\n[host.\"https://third.corp.example\"]\n");
}

#[test]
fn an_entry_written_by_hand_is_recognised_and_replaced_when_forced() {
    let by_hand = format!(
        "{ADMIN}\n# ours, by hand\n[host.\"http://127.0.0.1:7080\"]\n  skip_verify = true\n  \
         [host.\"http://127.0.0.1:7080\".header]\n    x = \"y\"\n\n# the last\n[host.\"https://last.example\"]\n"
    );
    let parsed = HostsToml::parse(&by_hand);
    assert_eq!(parsed.ownership(), Ownership::Absent);
    assert!(parsed.names_by_hand("http://127.0.0.1:7080") && !parsed.names_by_hand("http://127.0.0.1:7081"));
    let text = merged(&by_hand, &fallback());
    assert!(!text.contains("skip_verify") && text.contains("# the last\n[host.\"https://last.example\"]"), "{text}");
    let other = ["https://cache.corp.example", "https://second.corp.example", "https://last.example"];
    assert_eq!(HostsToml::parse(&text).other_hosts(), other);
}

#[test]
fn half_a_marker_is_a_comment_of_somebody_else() {
    let text = merged("", &fallback());
    let cut = text.replace("# acr-pull-proxy end\n", "");
    assert_eq!(HostsToml::parse(&cut).ownership(), Ownership::Absent);
    assert_eq!(HostsToml::parse(&cut).foreign(), cut);
}

#[test]
fn what_containerd_would_not_read_as_meant_is_refused() {
    for (text, form) in [
        ("server = \"x", false),
        ("\u{feff}server = \"https://x\"\n", false),
        ("host = { \"https://a\" = {} }\n", true),
        ("host.\"https://a\".capabilities = [\"pull\"]\n", true),
        ("[host]\n\"https://a\" = { capabilities = [\"pull\"] }\n", true),
        ("host = 1\n", true),
    ] {
        let error = HostsToml::parse(text).with(&entry(), &fallback()).expect_err(text);
        assert_eq!(matches!(error, MergeError::Form(_)), form, "{text}: {error}");
    }
    let error = HostsToml::parse("server = \"\"\"\nx\"\"\"\n").with(&entry(), &Server::Strict).unwrap_err();
    assert!(matches!(error, MergeError::Form(_)), "{error}");
}

/// A host table with whatever may stand around and in it.
fn host_table(number: usize) -> impl Strategy<Value = String> {
    let comment = prop_oneof![Just(String::new()), "# [a-z \"\\[\\]=]{0,20}\n"];
    let body = prop_oneof![
        Just(String::new()),
        Just("  capabilities = [\"pull\"]\n".to_owned()),
        Just("  ca = '/x/y.pem' # [host.\"no\"]\n".to_owned()),
        Just(format!("  [host.\"https://h{number}\".header]\n  x = \"[host]\"\n")),
    ];
    (comment, body, "\n{0,2}")
        .prop_map(move |(comment, body, end)| format!("{comment}[host.\"https://h{number}\"]\n{body}{end}"))
}

fn root_keys() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("server = \"https://registry.example\"\n"),
        Just("  server='https://registry.example'   # why\n"),
        Just("server = \"https://registry.example\"\r\n"),
        Just(""),
    ];
    ("(# [a-z]{0,8}\n){0,2}\n{0,2}", key, prop_oneof![Just(""), Just("\n"), Just("[header]\nx = \"y\"\n")])
        .prop_map(|(head, key, tail)| format!("{head}{key}{tail}"))
}

fn hosts_toml() -> impl Strategy<Value = String> {
    let hosts = (0..4usize).prop_flat_map(|count| (0..count).map(host_table).collect::<Vec<_>>());
    (root_keys(), hosts, any::<bool>()).prop_map(|(root, hosts, cut)| {
        let mut text = root + &hosts.concat();
        if cut {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
        }
        text
    })
}

proptest! {
    /// Check 16 (`tests/it/peers.rs`).
    #[test]
    fn what_is_not_ours_comes_back_byte_for_byte(text in hosts_toml(), strict: bool) {
        let server = if strict { Server::Strict } else { fallback() };
        let merged = HostsToml::parse(&text).with(&entry(), &server).unwrap();
        let parsed = HostsToml::parse(&merged);
        prop_assert_eq!(parsed.foreign(), &text);
        prop_assert_eq!(parsed.with(&entry(), &server).unwrap(), merged.clone());

        // As another reader sees it: our host first, and everything that was there.
        let (before, after): (DocumentMut, DocumentMut) = (text.parse().unwrap(), merged.parse().unwrap());
        let hosts = after["host"].as_table().unwrap();
        prop_assert!(hosts.contains_key("http://127.0.0.1:7080"));
        let first = merged.lines().find(|line| line.trim_start().starts_with("[host."));
        prop_assert_eq!(first, Some("[host.\"http://127.0.0.1:7080\"]"));
        for (url, host) in before.get("host").and_then(|host| host.as_table()).into_iter().flatten() {
            let (before, after) = (host.to_string(), hosts[url].to_string());
            prop_assert_eq!(before.trim(), after.trim());
        }
        if strict {
            prop_assert_eq!(after["server"].as_str(), Some("http://127.0.0.1:7080"));
        } else if let Some(server) = before.get("server") {
            prop_assert_eq!(server.as_str(), after["server"].as_str());
        }
    }

    #[test]
    fn no_text_at_all_makes_it_fail_in_another_way(text in "\\PC{0,80}", lines in "([#\\[\\]a-z=\" .\n]{0,20}\n?){0,6}") {
        for text in [text, lines] {
            let parsed = HostsToml::parse(&text);
            prop_assert_eq!(parsed.foreign(), &text);
            if let Ok(merged) = parsed.with(&entry(), &fallback()) {
                let again = HostsToml::parse(&merged);
                prop_assert_eq!(again.foreign(), &text);
            }
        }
    }
}
