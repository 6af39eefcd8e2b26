use cloudsim::journal::Service;

use super::support::{PUBLIC, REPOSITORY, Setup, VPC, World};
use crate::oci::RegistryHost;

#[tokio::test]
async fn a_ping_is_answered_here_and_never_challenges() {
    let world = World::new().await;
    for target in ["/v2/", "/v2", &format!("/v2/?ns={VPC}")] {
        let answer = world.get(target).await;
        assert_eq!((answer.status.as_u16(), answer.bytes().as_ref()), (200, b"{}".as_slice()), "{target}");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
    assert_eq!(world.ask("HEAD", "/v2/", &[]).await.header("content-length"), "2");
    assert!(world.cloud.journal().entries().is_empty());
}

/// Check 13 (`tests/it/peers.rs`).
#[tokio::test]
async fn an_instance_is_found_by_namespace_then_host_then_first_component() {
    let world = World::new().await;
    let plain = format!("/v2/{REPOSITORY}/manifests/v1");
    let prefixed = format!("/v2/{PUBLIC}/{REPOSITORY}/manifests/v1");
    let with_port = format!("{PUBLIC}:7080");
    let cases = [
        (format!("{plain}?ns={VPC}"), PUBLIC, VPC),
        (plain.clone(), PUBLIC, PUBLIC),
        (plain.clone(), with_port.as_str(), PUBLIC),
        (prefixed.clone(), "127.0.0.1:7080", PUBLIC),
        (format!("{prefixed}?ns={PUBLIC}"), "127.0.0.1:7080", PUBLIC),
        (format!("{plain}?ns={}", PUBLIC.to_uppercase()), "localhost", PUBLIC),
    ];
    for (target, host, expected) in cases {
        world.cloud.journal().clear();
        let answer = world.ask("GET", &target, &[("host", host)]).await;
        assert_eq!(answer.status, 200, "{target} at {host}");
        let asked = world.cloud.journal().filter(|entry| entry.path == plain);
        assert_eq!(asked.iter().map(|entry| entry.host.as_str()).collect::<Vec<_>>(), [expected], "{target}");
        assert!(asked[0].query.is_empty(), "{target}");
        let namespace = if target.contains("ns=") { expected } else { "" };
        assert_eq!(answer.header("oci-namespace"), namespace, "{target}");
    }
    // A namespace that is not served is not rescued by a host that is.
    let foreign = world.ask("GET", &format!("{plain}?ns=other.example.com"), &[("host", PUBLIC)]).await;
    assert_eq!(foreign.status, 404);
}

#[tokio::test]
async fn pull_from_decides_whom_to_ask_whatever_the_image_names() {
    let pull_from = ["unreachable.example.invalid", VPC].map(|host| RegistryHost::parse(host).unwrap()).to_vec();
    let world = World::with(Setup { pull_from, ..Setup::default() }).await;
    let answer = world.get(&format!("/v2/{REPOSITORY}/manifests/v1?ns={PUBLIC}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.cloud.journal().of(Service::Registry)[0].host, VPC);
}

#[tokio::test]
async fn what_the_configuration_does_not_list_is_denied_here() {
    let world = World::with(Setup { repositories: vec!["base/**".to_owned()], ..Setup::default() }).await;
    let answer = world.get(&world.target("manifests/v1")).await;
    assert_eq!((answer.status.as_u16(), answer.error().code.as_str()), (403, "DENIED"));
    assert!(world.cloud.journal().entries().is_empty());
}
