use std::path::Path;

use serde_json::json;

use super::{Workload, documents};
use crate::cli::policy::{Document, Kind};
use crate::config::{Environment, Overlay, load};

fn of(text: &str) -> Vec<Document> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path: &Path = file.path();
    let loaded = load(path, &Environment::default(), &Overlay::default()).unwrap();
    let workload =
        Workload { subject: "system:serviceaccount:kube-system:acr-pull-proxy".to_owned(), region: None, issuer: None };
    documents(&loaded.config, &workload)
}

const RRSA: &str = "
  - instanceId: cri-abcd1234efgh5678
    regionId: cn-hangzhou
    domains: a.example.com
    rrsaRoleARN: acs:ram::111111111111:role/cluster-a
    rrsaOIDCProviderRoleARN: acs:ram::111111111111:oidc-provider/ack-rrsa-c0123
    assumeRoleARN: acs:ram::222222222222:role/acr-pull
    externalId: from-a
";

#[test]
fn rrsa_needs_the_token_trusted_in_a_and_the_role_of_a_trusted_in_b() {
    let found = of(&format!("rrsa: {{enable: true, tokenFile: /token}}\ninstances:{RRSA}"));
    let kinds: Vec<_> = found.iter().map(|document| (document.account.as_deref(), document.kind)).collect();
    assert_eq!(
        kinds,
        [
            (Some("111111111111"), Kind::TrustPolicy),
            (Some("111111111111"), Kind::PermissionPolicy),
            (Some("222222222222"), Kind::TrustPolicy),
            (Some("222222222222"), Kind::PermissionPolicy),
        ]
    );
    let statement = |index: usize| &found[index].policy["Statement"][0];
    assert_eq!(statement(0)["Principal"]["Federated"][0], "acs:ram::111111111111:oidc-provider/ack-rrsa-c0123");
    let condition = &statement(0)["Condition"]["StringEquals"];
    assert_eq!(condition["oidc:iss"], "https://oidc-ack-cn-hangzhou.oss-cn-hangzhou.aliyuncs.com/c0123");
    assert_eq!(condition["oidc:sub"], "system:serviceaccount:kube-system:acr-pull-proxy");
    assert_eq!(statement(1)["Resource"], "acs:ram::222222222222:role/acr-pull");
    assert_eq!(statement(2)["Principal"], json!({"RAM": ["acs:ram::111111111111:role/cluster-a"]}));
    assert_eq!(statement(2)["Condition"]["StringEquals"]["sts:ExternalId"], "from-a");
    assert_eq!(statement(3)["Action"].as_array().unwrap().len(), 3);
}

#[test]
fn a_node_role_is_trusted_by_ecs_and_left_to_be_filled_in() {
    let found = of("instances:\n  - instanceId: cri-1\n    regionId: cn-hangzhou\n    credentialSource: ramRole\n    \
                    assumeRoleARN: acs:ram::222222222222:role/acr-pull\n");
    assert_eq!(found[0].policy["Statement"][0]["Principal"], json!({"Service": ["ecs.aliyuncs.com"]}));
    let trusted = found[2].policy["Statement"][0]["Principal"]["RAM"][0].as_str().unwrap();
    assert!(trusted.contains("<account A>") && trusted.contains("<RAM role of the nodes>"), "{trusted}");
}

#[test]
fn a_hop_in_between_is_trusted_by_the_one_before_and_may_take_the_next_step() {
    let hops = "assumeRoleARN: [acs:ram::111111111111:role/hop, acs:ram::222222222222:role/acr-pull]";
    let text = format!(
        "rrsa: {{enable: true}}\ninstances:{}",
        RRSA.replace("assumeRoleARN: acs:ram::222222222222:role/acr-pull", hops)
    );
    let found = of(&text);
    assert_eq!(found.len(), 6);
    assert_eq!(found[2].policy["Statement"][0]["Principal"]["RAM"][0], "acs:ram::111111111111:role/cluster-a");
    assert_eq!(found[3].policy["Statement"][0]["Resource"], "acs:ram::222222222222:role/acr-pull");
    assert_eq!(found[4].policy["Statement"][0]["Principal"]["RAM"][0], "acs:ram::111111111111:role/hop");
}

#[test]
fn what_two_instances_share_is_printed_once() {
    let second = RRSA.replace("cri-abcd1234efgh5678", "cri-2").replace("a.example.com", "b.example.com");
    let found = of(&format!("rrsa: {{enable: true}}\ninstances:{RRSA}{second}"));
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|document| document.instances == ["cri-abcd1234efgh5678", "cri-2"]));
}
