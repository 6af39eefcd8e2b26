use std::time::Duration;

use super::{Base, Params, RoleArn, SessionPolicy, plan};

fn role(name: &str) -> RoleArn {
    RoleArn::parse(&format!("acs:ram::111111111111:role/{name}")).unwrap()
}

fn params(hops: &[&str]) -> Params {
    Params {
        bases: vec![Base::RamRole { name: None }],
        hops: hops.iter().map(|name| role(name)).collect(),
        duration: Duration::from_secs(3600),
        session_name: "acr-pull-proxy-0123456789ab".into(),
        session_policy: SessionPolicy::PullOnly,
        external_id: None,
        expiring_threshold: Duration::from_secs(900),
    }
}

#[test]
fn a_chain_reads_as_its_steps() {
    let chain = plan(&params(&["hop", "acr-pull"])).unwrap();
    assert_eq!(
        chain.to_string(),
        "RAM role of the node -> acs:ram::111111111111:role/hop -> acs:ram::111111111111:role/acr-pull"
    );
}

#[test]
fn a_circle_of_roles_is_refused() {
    let error = plan(&params(&["hop", "acr-pull", "hop"])).unwrap_err();
    assert_eq!(error.problems, ["assumeRoleARN leads back to acs:ram::111111111111:role/hop"]);
    let mut params = params(&["cluster"]);
    params.bases = vec![Base::Rrsa {
        role: role("cluster"),
        provider: super::OidcProviderArn::parse("acs:ram::111111111111:oidc-provider/p").unwrap(),
        token_file: "/t".into(),
    }];
    assert!(plan(&params).is_err());
}

#[test]
fn every_problem_is_named_at_once() {
    let wrong = Params {
        bases: Vec::new(),
        hops: Vec::new(),
        duration: Duration::from_secs(899),
        session_name: "a name with spaces".into(),
        session_policy: SessionPolicy::Inline("{".into()),
        external_id: Some("x".into()),
        expiring_threshold: Duration::ZERO,
    };
    assert_eq!(plan(&wrong).unwrap_err().problems.len(), 6);
}

#[test]
fn limits_are_those_of_the_api() {
    let with = |change: fn(&mut Params)| {
        let mut params = params(&["acr-pull"]);
        change(&mut params);
        plan(&params).is_ok()
    };
    assert!(with(|params| params.duration = Duration::from_secs(900)));
    assert!(with(|params| params.duration = Duration::from_secs(43_200)));
    assert!(!with(|params| params.duration = Duration::from_secs(43_201)));
    assert!(with(|params| params.session_name = "x".repeat(32)));
    assert!(!with(|params| params.session_name = "x".repeat(33)));
    assert!(!with(|params| params.session_policy = SessionPolicy::Inline("x".repeat(2049))));
    assert!(with(|params| params.external_id = Some("a/b=c+d".into())));
    assert!(!with(|params| params.external_id = Some("a b".into())));
}
