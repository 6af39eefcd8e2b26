//! `policy`: the printed policies are the ones under which the simulated cloud lets a pull through.

use std::process::{Command, Output};

use cloudsim::Method;
use cloudsim::ram::setup;
use serde_json::Value;

use crate::support::Node;

fn policy(config: &str, arguments: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    command.env_clear().args(["policy", "--config"]).arg(file.path()).args(arguments).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_name_what_the_working_cloud_has() {
    let node = Node::with_method(Method::Rrsa).await;
    let output = policy(&node.cloud.node_config(Method::Rrsa), &["--output", "json"]);
    let documents: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let find = |target: &str, kind: &str| {
        let found = documents.iter().find(|document| document["target"] == target && document["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} of {target}"))["policy"]["Statement"][0].clone()
    };
    let token = find(setup::CLUSTER_ROLE, "trustPolicy");
    assert_eq!(token["Principal"]["Federated"][0], setup::OIDC_PROVIDER);
    let condition = &token["Condition"]["StringEquals"];
    assert_eq!(condition["oidc:iss"], setup::OIDC_ISSUER);
    assert_eq!(condition["oidc:aud"], setup::OIDC_AUDIENCE);
    assert_eq!(condition["oidc:sub"], setup::SUBJECT);
    assert_eq!(find(setup::CLUSTER_ROLE, "permissionPolicy")["Resource"], setup::PULL_ROLE);
    assert_eq!(find(setup::PULL_ROLE, "trustPolicy")["Principal"]["RAM"][0], setup::CLUSTER_ROLE);
    // The simulated cloud has its own parser of the policy language.
    let pull = documents.iter().find(|document| document["target"] == setup::PULL_ROLE).expect("B's role");
    assert_eq!(pull["account"], setup::ACCOUNT_B);
    for document in documents.iter().filter(|document| document["kind"] == "permissionPolicy") {
        cloudsim::ram::Policy::parse(&document["policy"].to_string()).expect("a policy that RAM takes");
    }
    node.finish().await;
}

#[test]
fn the_text_says_where_to_paste_each_and_takes_another_service_account() {
    let config = "
rrsa: {enable: true}
instances:
  - instanceId: cri-abcd1234efgh5678
    regionId: cn-hangzhou
    rrsaRoleARN: acs:ram::111111111111:role/cluster-a
    rrsaOIDCProviderRoleARN: acs:ram::111111111111:oidc-provider/ack-rrsa-c0123
    assumeRoleARN: acs:ram::222222222222:role/acr-pull
";
    let output = policy(config, &["--namespace", "infra", "--service-account", "mirror"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("# paste it at: RAM console").count(), 4, "{text}");
    assert!(text.contains("system:serviceaccount:infra:mirror"), "{text}");
    assert_eq!(policy("instances: []", &[]).status.code(), Some(2));
}
