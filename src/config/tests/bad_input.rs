//! Each wrong thing is reported at its place, and all of them at once.

use super::{instance_with, load_path, load_text, load_text_in, paths};
use crate::config::Environment;

const GOOD: &str = "instances: [{instanceId: cri-1, domains: a.example.com}]\n";

#[test]
fn each_bad_value_is_reported_at_its_path() {
    for (text, path) in [
        ("listen: 7080", "listen"),
        ("listen: 0.0.0.0:7080", "listen"),
        ("listen: 127.0.0.1:7081", "listen"),
        ("admin: localhost:7081", "admin"),
        ("admin: 0.0.0.0:7080", "listen"),
        ("admin: '[::]:7080'", "listen"),
        ("expiringThreshold: 15", "expiringThreshold"),
        ("expiringThreshold: 7h", "expiringThreshold"),
        ("rrsa: {enable: yes}", "rrsa.enable"),
        ("rrsa: {tokenFile: token}", "rrsa.tokenFile"),
        ("rrsa: true", "rrsa"),
        ("endpoints: {sts: http://sts.aliyuncs.com}", "endpoints.sts"),
        ("endpoints: {cr: cr/aliyuncs}", "endpoints.cr"),
        ("endpoints: {metadata: 100.100.100.200}", "endpoints.metadata"),
        ("network: {hosts: {a.example.com: 192.168.0.256}}", "network.hosts[\"a.example.com\"]"),
        ("network: {hosts: {a.example.com: [10.0.0.0/8]}}", "network.hosts[\"a.example.com\"][0]"),
        ("network: {hosts: {'*.com': 10.0.0.1}}", "network.hosts[\"*.com\"]"),
        ("network: {hosts: [a]}", "network.hosts"),
        ("network: {realms: ['*']}", "network.realms[0]"),
        ("network: {blobHosts: 'https://oss'}", "network.blobHosts"),
        ("network: {caFile: /nonexistent/ca.pem}", "network.caFile"),
        ("network: {blobProxy: 'https://127.0.0.1:4001'}", "network.blobProxy"),
        ("blobs: {mode: fast}", "blobs.mode"),
        ("blobs: {connections: 0}", "blobs.connections"),
        ("blobs: {connections: [4]}", "blobs.connections"),
        ("blobs: {partSize: 8MB}", "blobs.partSize"),
        ("blobs: {partSize: 1KiB}", "blobs.partSize"),
        ("blobs: {memory: 1MiB}", "blobs.memory"),
        ("clientAuth: {}", "clientAuth.tokenFile"),
        ("tls: {certFile: /a}", "tls.keyFile"),
        ("tls: {certFile: a, keyFile: /b}", "tls.certFile"),
        ("log: {format: xml}", "log.format"),
        ("log: {level: loud}", "log.level"),
    ] {
        let unusable = load_text(&format!("{GOOD}{text}\n")).unwrap_err();
        assert_eq!(paths(&unusable.problems), [path], "{text}: {:?}", unusable.problems);
        assert_eq!(unusable.problems[0].line.is_some(), path != "listen" || text == "listen: 7080", "{text}");
    }
}

#[test]
fn each_bad_key_of_an_instance_is_reported_at_its_path() {
    for (keys, key) in [
        ("regionId: Hangzhou", "regionId"),
        ("assumeRoleARN: acs:ram::2:user/x", "assumeRoleARN"),
        ("assumeRoleARN: [acs:ram::2:role/x, arn:aws:iam::1:role/x]", "assumeRoleARN[1]"),
        ("assumeRoleARN: [acs:ram::2:role/x, acs:ram::2:role/x]", "assumeRoleARN"),
        ("expireDuration: 60", "expireDuration"),
        ("expireDuration: 43201", "expireDuration"),
        ("expireDuration: soon", "expireDuration"),
        ("expireDuration: -1", "expireDuration"),
        ("rrsaRoleARN: acs:ram::1:role/a", "rrsaOIDCProviderRoleARN"),
        ("rrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/b", "rrsaRoleARN"),
        ("customAccessKey: id", "customAccessKeySecret"),
        ("customAccessKeySecretFile: /secret", "customAccessKeyFile"),
        ("customAccessKeyFile: id\ncustomAccessKeySecretFile: /secret", "customAccessKeyFile"),
        ("credentialSource: magic", "credentialSource"),
        ("credentialSource: environment", "credentialSource"),
        ("pullFrom: 'https://registry'", "pullFrom"),
        ("repositories: [Team/App]", "repositories[0]"),
        ("sessionPolicy: all", "sessionPolicy"),
        ("sessionPolicy: '[]'", "sessionPolicy"),
        ("externalId: partner", "assumeRoleARN"),
        ("assumeRoleARN: acs:ram::2:role/x\nexternalId: '!'", "externalId"),
        ("assumeRoleArn: acs:ram::2:role/x", "assumeRoleArn"),
        ("instanceId: cri-2", "instanceId"),
    ] {
        let unusable = load_text(&instance_with(keys)).unwrap_err();
        assert_eq!(paths(&unusable.problems), [format!("instances[0].{key}")], "{keys}: {:?}", unusable.problems);
        assert!(unusable.problems[0].line.is_some(), "{keys}");
    }
}

#[test]
fn addresses_meet_only_where_one_listener_would_take_the_others_port() {
    for apart in [
        "admin: 127.0.0.2:7080",
        "admin: '[::1]:7080'",
        "listen: '[::1]:7081'\nadmin: 0.0.0.0:7081",
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0",
    ] {
        load_text(&format!("{GOOD}{apart}\n")).unwrap();
    }
}

#[test]
fn a_role_that_cannot_be_read_is_not_said_to_be_missing() {
    let notes = |keys: &str| load_text(&instance_with(keys)).map_or_else(|bad| bad.notes, |loaded| loaded.notes);
    assert_eq!(notes("assumeRoleARN: somebody"), []);
    assert_eq!(paths(&notes("assumeRoleARN: ','")), ["instances[0].assumeRoleARN"]);
}

#[test]
fn pull_from_names_hosts_of_its_own_instance() {
    let instances = "instances:\n  - instanceId: cri-1\n    domains: a-registry.r.example.com\n    pullFrom: [PULL]\n  - \
                     instanceId: cri-2\n    domains: b-registry.r.example.com\n";
    let with = |pull: &str| load_text(&instances.replace("PULL", pull));
    let unusable = with("b-registry.r.example.com").unwrap_err();
    assert_eq!(paths(&unusable.problems), ["instances[0].pullFrom"], "{:?}", unusable.problems);
    for (pull, noted) in [
        ("a-registry-vpc.r.example.com, a-registry.r.example.com", false),
        ("a-registry-internal.r.example.com", false),
        ("c-registry-vpc.r.example.com", true),
    ] {
        let notes = with(pull).unwrap().notes;
        let found = notes.iter().any(|note| note.to_string().contains("pullFrom"));
        assert_eq!(found, noted, "{pull}: {notes:?}");
    }
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = "listn: 127.0.0.1:1\nlog:\n  level: loud\ninstances:\n  - instanceId: crpi-1\n    domain: a\n    expireDuration: 1\n";
    let unusable = load_text(text).unwrap_err();
    let found: Vec<_> = unusable.problems.iter().map(|problem| (problem.path.as_str(), problem.line)).collect();
    assert_eq!(
        found,
        [
            ("listn", Some(1)),
            ("log.level", Some(3)),
            ("instances[0].instanceId", Some(5)),
            ("instances[0].domain", Some(6)),
            ("instances[0].expireDuration", Some(7)),
        ]
    );
    assert_eq!(unusable.problems[0].hint.as_deref(), Some("did you mean 'listen'?"));
    assert_eq!(unusable.problems[3].hint.as_deref(), Some("did you mean 'domains'?"));
    assert!(unusable.to_string().contains("5 problems"), "{unusable}");
}

#[test]
fn domains_that_are_set_name_at_least_one() {
    for (domains, path) in [("[]", "domains"), ("','", "domains"), ("[a b]", "domains[0]"), ("'a_b.com'", "domains")] {
        let text = format!("instances: [{{instanceId: cri-1, domains: {domains}}}]\n");
        let unusable = load_text(&text).unwrap_err();
        assert_eq!(paths(&unusable.problems), [format!("instances[0].{path}")], "{domains}");
    }
}

#[test]
fn instances_do_not_share_a_domain_or_an_id() {
    let text = "instances:\n  - {instanceId: cri-1, domains: a.example.com}\n  - {instanceId: cri-2, domains: 'b.example.com,A.example.com'}\n  - {instanceId: cri-1, domains: c.example.com}\n";
    let unusable = load_text(text).unwrap_err();
    assert_eq!(paths(&unusable.problems), ["instances[1].domains", "instances[2].instanceId"]);
}

#[test]
fn a_file_that_is_no_configuration_is_one_problem() {
    for text in [
        "",
        "# only a comment\n",
        "just text\n",
        "- a\n- b\n",
        "instances: []\n",
        "instances: {}\n",
        "a: [\n",
        "log: {}\n",
    ] {
        let unusable = load_text(text).unwrap_err();
        assert_eq!(unusable.problems.len(), 1, "{text:?}: {:?}", unusable.problems);
    }
    let unusable = load_path("/nonexistent/config.yaml".as_ref()).unwrap_err();
    assert!(unusable.problems[0].to_string().contains("--config"), "{unusable:?}");
}

#[test]
fn what_never_ends_is_not_read_to_its_end() {
    let unusable = load_path("/dev/zero".as_ref()).unwrap_err();
    assert!(unusable.problems[0].text.contains("larger than 1 MiB"), "{unusable:?}");
    let unusable = load_text(&format!("{GOOD}network: {{caFile: /dev/zero}}\n")).unwrap_err();
    assert_eq!(paths(&unusable.problems), ["network.caFile"], "{:?}", unusable.problems);
}

#[test]
fn a_directory_without_the_config_map_is_one_problem_and_a_bad_file_in_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.yaml"), GOOD).unwrap();
    let unusable = load_path(directory.path()).unwrap_err();
    assert_eq!(unusable.problems.len(), 1, "{unusable:?}");
    assert!(unusable.problems[0].text.contains("no file acr-registry-info"), "{unusable:?}");
    std::fs::write(directory.path().join("acr-registry-info"), b"\xff").unwrap();
    let unusable = load_path(directory.path()).unwrap_err();
    assert!(unusable.problems[0].text.contains("acr-registry-info: stream did not contain"), "{unusable:?}");
}

#[test]
fn line_ends_and_a_mark_at_the_start_are_no_matter() {
    for text in [
        format!("\u{feff}{GOOD}"),
        GOOD.replace('\n', "\r\n"),
        format!("---\n{GOOD}...\n"),
        format!("%YAML 1.2\n---\n{GOOD}"),
    ] {
        load_text(&text).unwrap_or_else(|unusable| panic!("{text:?}: {unusable:?}"));
    }
}

#[test]
fn rrsa_that_is_switched_on_does_not_fall_back_to_the_nodes_role() {
    let unusable = load_text(&format!("rrsa: {{enable: true}}\n{}", instance_with(""))).unwrap_err();
    assert!(paths(&unusable.problems).contains(&"instances[0].rrsaRoleARN"), "{:?}", unusable.problems);
}

#[test]
fn a_role_chain_that_leads_back_to_itself_is_refused() {
    let keys = "rrsaRoleARN: acs:ram::1:role/a\nrrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/b\nassumeRoleARN: acs:ram::1:role/a";
    let unusable = load_text(&instance_with(keys)).unwrap_err();
    assert_eq!(paths(&unusable.problems), ["instances[0]"], "{:?}", unusable.problems);
}

#[test]
fn wrong_indentation_in_the_incumbents_string_is_found_with_its_line() {
    let text = "kind: ConfigMap\nmetadata: {name: acr-configuration}\ndata:\n  acr-registry-info: |\n    - instanceId: cri-1\n     domains: a.example.com\n";
    let unusable = load_text(text).unwrap_err();
    assert_eq!(paths(&unusable.problems), ["data.acr-registry-info"]);
    assert_eq!(unusable.problems[0].line, Some(6), "{:?}", unusable.problems);
}

#[test]
fn a_secret_never_stands_in_a_message() {
    for text in [
        "customAccessKey: id\ncustomAccessKeySecret: [hunter2hunter2]",
        "customAccessKeySecret: hunter2hunter2",
        "customAccessKey: id\ncustomAccessKeySecret: hunter2hunter2\nexpireDuration: 1",
        "customAccessKey: id\ncustomAccessKeySecret: 'hunter2hunter2",
    ] {
        let unusable = load_text(&instance_with(text)).unwrap_err();
        assert!(!format!("{unusable:?}").contains("hunter2"), "{unusable:?}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    let environment = Environment::of([("ALIBABA_CLOUD_IMDS_ENDPOINT", "ftp://x")]);
    let unusable = load_text_in(GOOD, &environment).unwrap_err();
    assert_eq!(paths(&unusable.problems), ["ALIBABA_CLOUD_IMDS_ENDPOINT"]);
}
