//! The whole chain over real sockets, before the simulated cloud.

mod healing;
mod node;

use std::sync::Arc;
use std::time::Duration;

use cloudsim::CloudSim;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::ram::{Role, setup};
use cloudsim::settings::RealmHost;
use http::StatusCode;

use super::{Edition, ProvideBearer, TokenError};
use crate::clock::SystemClock;
use crate::cloud::endpoints::Region;
use crate::cloud::{Cloud, CloudClock, SessionRequest, SignatureScheme};
use crate::credentials::plan::Base;
use crate::error::{Blame, Explain, Retry};
use node::{Node, access_key, client, endpoints, params, ram_role, role, rrsa, scope};

#[tokio::test]
async fn every_method_of_the_incumbent_leads_to_a_bearer() {
    for hops in [&[setup::PULL_ROLE][..], &[setup::HOP_ROLE, setup::PULL_ROLE]] {
        for base in [rrsa, |_: &CloudSim| ram_role()] {
            let sim = CloudSim::start().await.unwrap();
            let params = params(base(&sim), hops);
            let node = Node::new(sim, params);
            node.pulls("team/app").await;
            assert_eq!(node.calls("AssumeRole"), hops.len());
            assert_eq!(node.calls("GetAuthorizationToken"), 1);
        }
    }
    let sim = CloudSim::start().await.unwrap();
    let params = params(access_key(&sim, setup::USER_B), &[]);
    let node = Node::new(sim, params);
    node.pulls("team/app").await;
    assert_eq!(node.calls("AssumeRole"), 0);
}

#[tokio::test]
async fn every_other_source_of_a_first_credential_works() {
    let sim = CloudSim::start().await.unwrap();
    let key = sim.directory().access_key(setup::USER_A).unwrap();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let profile = serde_json::json!({"current": "default", "profiles": [
        {"name": "default", "mode": "AK", "access_key_id": key.id, "access_key_secret": key.secret},
        {"name": "role", "mode": "RamRoleArn", "access_key_id": key.id, "access_key_secret": key.secret,
         "ram_role_arn": setup::PULL_ROLE},
    ]});
    let profile = file("config.json", &profile.to_string());
    let uri = format!("{}/latest/meta-data/ram/security-credentials/KubernetesWorkerRole-0123", sim.imds_url());
    let bases = [
        (Base::AccessKeyFile { id: file("id", &key.id), secret: file("secret", &key.secret) }, true),
        (Base::Environment { id: key.id.clone(), secret: key.secret.as_str().into(), token: None }, true),
        (Base::Profile { file: profile.clone(), name: None }, true),
        (Base::Profile { file: profile, name: Some("role".into()) }, false),
        (Base::CredentialsUri { uri }, true),
    ];
    let mut node = Node::new(sim, params(ram_role(), &[setup::PULL_ROLE]));
    for (base, hop) in bases {
        let name = base.to_string();
        let hops: &[&str] = if hop { &[setup::PULL_ROLE] } else { &[] };
        node = Node::new(node.sim, params(base, hops));
        assert!(node.bearer("team/app").await.is_ok(), "{name}");
    }
}

/// Check 6 (`tests/it/peers.rs`).
#[tokio::test]
async fn five_hundred_cold_requests_cause_one_call_for_each_hop() {
    let node = Arc::new(Node::usual().await);
    let requests: Vec<_> = (0..500)
        .map(|number| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.bearer(&format!("team/app-{}", number % 20)).await.map(drop) })
        })
        .collect();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    for action in ["AssumeRoleWithOIDC", "AssumeRole", "GetAuthorizationToken"] {
        assert_eq!(node.calls(action), 1, "{action}");
    }
    assert_eq!(node.bearer_calls(), 20);
    assert_eq!(node.sim.journal().count(Service::Registry), 1, "the challenge was asked for more than once");
}

#[tokio::test]
async fn a_warm_pull_makes_no_call_and_a_new_repository_makes_one() {
    let node = Node::usual().await;
    node.source.prewarm().await.unwrap();
    assert!(node.source.is_ready());
    node.bearer("team/app").await.unwrap();
    node.sim.journal().clear();
    node.bearer("team/app").await.unwrap();
    assert_eq!(node.sim.journal().entries().len(), 0);
    node.bearer("team/other").await.unwrap();
    assert_eq!((node.sim.journal().entries().len(), node.bearer_calls()), (1, 1));
}

#[tokio::test]
async fn the_personal_edition_has_tokens_of_its_own() {
    let sim = CloudSim::start().await.unwrap();
    let mut params = params(ram_role(), &[setup::PULL_ROLE]);
    params.edition = Edition::Personal;
    let node = Node::new(sim, params);
    node.source.prewarm().await.unwrap();
    assert_eq!(node.sim.journal().filter(|entry| entry.path == "/tokens").len(), 1);
}

#[tokio::test]
async fn the_domains_of_an_instance_are_asked_vpc_first() {
    let node = Node::usual().await;
    let domains = node.source.domains().await.unwrap();
    assert_eq!(domains[0], "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com");
    assert!(domains.contains(&setup::CUSTOM_DOMAIN.to_owned()), "{domains:?}");
    assert_eq!(node.source.node_region().await.unwrap().as_str(), setup::REGION);
}

#[tokio::test]
async fn a_duration_above_the_roles_maximum_is_lowered_remembered_and_reported() {
    let sim = CloudSim::start().await.unwrap();
    let mut params = params(rrsa(&sim), &[setup::PULL_ROLE]);
    params.chain.duration = Duration::from_secs(43_200);
    let node = Node::new(sim, params);
    node.bearer("team/app").await.unwrap();
    assert_eq!(node.calls("AssumeRoleWithOIDC"), 2);
    let hops = node.source.hops();
    assert_eq!(hops.len(), 3);
    assert!(hops[0].note.as_deref().unwrap().contains("3600 s is used"), "{:?}", hops[0].note);
    assert_eq!(hops[1].note, None);
}

#[tokio::test]
async fn a_role_without_the_right_to_pull_says_so_before_the_registry_is_asked() {
    let node = Node::usual().await;
    node.sim.directory().remove_permission(setup::PULL_ROLE, "cr:PullRepository");
    let error = node.bearer("team/app").await.unwrap_err();
    assert!(matches!(*error, TokenError::NotPermitted(_)), "{error}");
    assert_eq!((error.blame(), error.retry()), (Blame::RegistryAccount, Retry::Never));
    assert!(error.advice().unwrap().contains("cr:PullRepository"));
}

#[tokio::test]
async fn no_permission_names_the_role_the_call_and_both_remedies() {
    let sim = CloudSim::start().await.unwrap();
    sim.directory().edit_role(setup::PULL_ROLE, |role| *role = Role::new(setup::PULL_ROLE));
    let params = params(rrsa(&sim), &[setup::PULL_ROLE]);
    let node = Node::new(sim, params);
    let error = node.bearer("team/app").await.unwrap_err();
    assert_eq!(error.to_string(), "AssumeRole: NoPermission");
    assert!(error.request_id().is_some());
    let advice = error.advice().unwrap();
    let trust = format!("trust policy of {} under Principal.RAM: {}", setup::PULL_ROLE, setup::CLUSTER_ROLE);
    assert!(advice.contains("allow sts:AssumeRole on acs:ram::222222222222") && advice.contains(&trust), "{advice}");
    let failure = node.source.hops()[1].failure.clone().unwrap();
    assert!(failure.text.contains("NoPermission") && failure.request_id.is_some(), "{failure:?}");
}

/// Check 10 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_foreign_realm_never_sees_the_login() {
    let node = Node::usual().await;
    node.sim.configure(|settings| settings.realm.host = RealmHost::Url("https://login.evil.example/auth".into()));
    let error = node.bearer("team/app").await.unwrap_err();
    assert!(matches!(*error, TokenError::Realm(_)), "{error}");
    assert_eq!(node.bearer_calls() + node.sim.journal().count(Service::Stranger), 0);
}

#[tokio::test]
async fn every_known_realm_host_is_used_as_the_challenge_says() {
    for host in [RealmHost::Enterprise, RealmHost::Hyphen, RealmHost::Legacy, RealmHost::RegistryItself] {
        let node = Node::usual().await;
        node.sim.configure(|settings| settings.realm.host = host.clone());
        assert!(node.bearer("team/app").await.is_ok(), "{host:?}");
    }
}

#[tokio::test]
async fn a_vpc_endpoint_that_cannot_be_reached_is_left_for_the_public_one() {
    let node = Node::usual().await;
    node.sim.fault(Fault::on_any(Effect::RefuseConnection).host("sts-vpc.cn-hangzhou.aliyuncs.com"));
    node.bearer("team/app").await.unwrap();
    let asked = node.sim.journal().of(Service::Sts);
    assert!(asked.iter().all(|entry| entry.host == "sts.cn-hangzhou.aliyuncs.com") && asked.len() == 2);
}

#[tokio::test]
async fn the_metadata_service_is_asked_in_both_modes() {
    for hardened in [true, false] {
        let sim = CloudSim::start().await.unwrap();
        sim.directory().harden_metadata(hardened);
        let node = Node::new(sim, params(ram_role(), &[setup::PULL_ROLE]));
        assert!(node.bearer("team/app").await.is_ok(), "hardened: {hardened}");
    }
    let sim = CloudSim::start().await.unwrap();
    sim.directory().fail_metadata(Some("Failed"));
    let node = Node::new(sim, params(ram_role(), &[setup::PULL_ROLE]));
    let error = node.bearer("team/app").await.unwrap_err();
    assert!(crate::error::chain(&*error).contains("Code is not Success"), "{error}");
}

#[tokio::test]
async fn the_older_signatures_are_accepted_where_they_are_chosen() {
    let sim = CloudSim::start().await.unwrap();
    let tools = (client(&sim), CloudClock::new(SystemClock::shared()));
    let region = Some(Region::parse(setup::REGION).unwrap());
    let cloud = Cloud::signing_with(SignatureScheme::V1, endpoints(&sim), region, tools.0, tools.1, Arc::default());
    let node = cloud.imds.credentials(None).await.unwrap();
    let request = SessionRequest {
        role: setup::PULL_ROLE,
        session_name: "node-1",
        duration_seconds: 3600,
        policy: None,
        external_id: None,
    };
    let session = cloud.sts.assume_role(request, &node.value).await.unwrap();
    cloud.cr.authorization_token(setup::INSTANCE, &session.value).await.unwrap();
    cloud.cr.personal_authorization_token(&session.value).await.unwrap();
}

/// Check 22 (`tests/it/peers.rs`).
#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() {
    let node = Node::usual().await;
    let bearer = node.bearer("team/app").await.unwrap();
    node.sim.directory().revoke_sessions(setup::PULL_ROLE);
    node.sim.directory().edit_role(setup::PULL_ROLE, |role| *role = Role::new(setup::PULL_ROLE));
    let error = node.bearer("team/other").await.unwrap_err();
    let printed = format!(
        "{bearer:?} {:?} {:?} {error:?} {error} {} {:?}",
        node.source,
        node.source.hops(),
        crate::error::chain(&*error),
        error.advice()
    );
    let secrets = node.sim.issued_secrets();
    assert!(secrets.len() > 5);
    for secret in secrets {
        assert!(!printed.contains(&secret), "a secret of {} characters was printed", secret.len());
    }
}

/// Check 8 (`tests/it/peers.rs`).
#[tokio::test]
async fn the_longest_life_of_a_bearer_is_that_of_its_login() {
    let node = Node::usual().await;
    node.sim.configure(|settings| settings.realm.bearer_lifetime = jiff::SignedDuration::from_secs(50_000));
    let bearer = node.bearer("team/app").await.unwrap();
    let login = node.source.hops().pop().unwrap().held.unwrap();
    assert_eq!(bearer.expires, login.1);
    assert_eq!(node.registry("team/app", &bearer).await.0, StatusCode::NOT_FOUND);
    assert_eq!(role(setup::PULL_ROLE).as_str(), setup::PULL_ROLE);
    node.source.refused(&node.host, &scope("team/never-asked"), &bearer, None);
}

#[tokio::test]
async fn a_region_that_is_not_configured_is_asked_for_once_by_all_who_need_it() {
    let sim = CloudSim::start().await.unwrap();
    let mut params = params(access_key(&sim, setup::USER_B), &[]);
    params.region = None;
    let node = Node::new(sim, params);
    // Nobody may go on without a region because somebody else is just asking for it.
    let (login, domains) = tokio::join!(node.source.prewarm(), node.source.domains());
    assert!(login.is_ok() && domains.is_ok(), "{login:?} {domains:?}");
    let asked = node.sim.journal().count_where(|entry| entry.path.ends_with("region-id"));
    assert_eq!(asked, 1);
}
