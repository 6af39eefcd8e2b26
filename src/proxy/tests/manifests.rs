use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use http::{HeaderName, HeaderValue, StatusCode};

use super::support::{REPOSITORY, VPC, World};

/// Check 12 (`tests/it/peers.rs`).
#[tokio::test]
async fn head_and_get_agree_on_everything_that_containerd_reads() {
    let world = World::new().await;
    let accept = [("accept", "application/vnd.oci.image.index.v1+json, */*")];
    for reference in ["v1", world.image.digest.as_str()] {
        let target = world.target(&format!("manifests/{reference}"));
        let get = world.ask("GET", &target, &accept).await;
        let head = world.ask("HEAD", &target, &accept).await;
        assert_eq!((get.status, head.status), (StatusCode::OK, StatusCode::OK));
        for name in ["content-type", "content-length", "docker-content-digest"] {
            assert_eq!(get.header(name), head.header(name), "{name}");
            assert!(!get.header(name).is_empty(), "{name}");
        }
        assert_eq!(get.header("docker-content-digest"), world.image.digest);
        assert_eq!(get.header("content-length"), get.bytes().len().to_string());
        assert!(head.bytes().is_empty());
    }
}

#[tokio::test]
async fn the_conditions_of_one_client_are_not_those_of_another() {
    let world = World::new().await;
    let target = world.target(&format!("manifests/{}", world.image.digest));
    let etag = format!("\"{}\"", world.image.digest);
    let narrow = [("if-none-match", etag.as_str()), ("if-match", "\"x\""), ("accept", "application/x-unknown")];
    world.cloud.fault(Fault::on(Service::Registry, Effect::Delay(Duration::from_millis(300))).once());
    let others = || world.ask("GET", &target, &[("accept", "application/vnd.oci.image.index.v1+json")]);
    let (first, second) = tokio::join!(world.ask("GET", &target, &narrow), others());
    let (of_memory, head) = (world.ask("GET", &target, &narrow).await, world.ask("HEAD", &target, &narrow).await);
    for has_it in [first, of_memory, head] {
        assert_eq!((has_it.status, has_it.bytes().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(has_it.header("etag"), etag);
    }
    for answer in [second, world.ask("GET", &target, &[("if-none-match", "\"other\"")]).await] {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("content-length"), answer.bytes().len().to_string());
    }
    assert_eq!(world.cloud.journal().count_where(|entry| entry.path.ends_with(&world.image.digest)), 1);
}

/// Check 15 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_client_cannot_put_its_own_credentials_or_ranges_in() {
    let world = World::new().await;
    let headers =
        [("authorization", "Basic c2VjcmV0"), ("cookie", "a=b"), ("range", "bytes=0-"), ("accept-encoding", "gzip")];
    assert_eq!(world.ask("GET", &world.target("manifests/v1"), &headers).await.status, 200);
    let entry = world.cloud.journal().of(Service::Registry).remove(0);
    assert_eq!(entry.authorization.as_deref(), Some("Bearer"));
    assert_eq!(entry.range, None);
    assert!(!entry.header_names.iter().any(|name| name == "cookie"), "{:?}", entry.header_names);
}

/// Check 5 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_bearer_that_is_refused_is_renewed_once() {
    let world = World::new().await;
    assert_eq!(world.get(&world.target("manifests/v1")).await.status, 200);
    world.cloud.revoke_bearers();
    assert_eq!(world.get(&world.target("manifests/v1")).await.status, 200);
    assert_eq!(world.tokens.refused.load(Ordering::SeqCst), 1);
}

/// Check 5 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_403_that_says_expired_is_renewed_once_and_another_is_final() {
    let world = World::new().await;
    let denied = |message: &str| format!(r#"{{"errors":[{{"code":"DENIED","message":"{message}"}}]}}"#);
    let forbidden = |message| Effect::answer(StatusCode::FORBIDDEN, denied(message));
    world.cloud.fault(Fault::on(Service::Registry, forbidden("the token has Expired")).once());
    world.cloud.fault(Fault::on(Service::Registry, forbidden("no such right")).once());
    assert_eq!(world.get(&world.target("manifests/v1")).await.status, 403);
    assert_eq!(world.tokens.refused.load(Ordering::SeqCst), 1);
}

/// The simulated registry says of a revoked bearer that it is no longer valid.
#[tokio::test]
async fn a_bearer_that_is_revoked_while_its_request_is_under_way_is_renewed_again() {
    for (revoked, status, renewed) in [(3, 200, 3), (4, 503, 3)] {
        let world = World::new().await;
        for _ in 0..revoked {
            world.cloud.revoke_bearers();
        }
        let answer = world.get(&world.target("manifests/v1")).await;
        assert_eq!(answer.status, status, "{revoked} times");
        assert_eq!(world.tokens.refused.load(Ordering::SeqCst), renewed, "{revoked} times");
    }
}

#[tokio::test]
async fn a_401_that_is_not_about_the_age_of_the_bearer_is_worth_one_more_and_no_third() {
    let world = World::new().await;
    let challenge = format!(r#"Bearer realm="https://{VPC}/auth",error="insufficient_scope""#);
    let refused = Effect::Answer {
        status: StatusCode::UNAUTHORIZED,
        headers: vec![(http::header::WWW_AUTHENTICATE, HeaderValue::from_str(&challenge).unwrap())],
        body: bytes::Bytes::new(),
    };
    world.cloud.fault(Fault::on(Service::Registry, refused));
    assert_eq!(world.get(&world.target("manifests/v1")).await.status, 403);
    assert_eq!(world.tokens.refused.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_right_that_is_missing_is_403_and_never_401() {
    let world = World::new().await;
    world.cloud.push("cri-abcd1234efgh5678", "forbidden/app", "v1", &world.image).unwrap();
    let target = format!("/v2/forbidden/app/manifests/v1?ns={VPC}");
    for method in ["GET", "HEAD"] {
        let answer = world.ask(method, &target, &[]).await;
        assert_eq!(answer.status, 403, "{method}");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    assert_eq!(world.get(&target).await.error().code, "DENIED");
}

#[tokio::test]
async fn what_is_not_there_is_404_with_the_registrys_code() {
    let world = World::new().await;
    let missing = world.get(&world.target("manifests/none")).await;
    assert_eq!((missing.status.as_u16(), missing.error().code.as_str()), (404, "MANIFEST_UNKNOWN"));
    assert_eq!(world.ask("HEAD", &world.target("manifests/none"), &[]).await.status, 404);
    let blob = world.get(&world.target(&format!("blobs/sha256:{}", "0".repeat(64)))).await;
    assert_eq!((blob.status.as_u16(), blob.error().code.as_str()), (404, "BLOB_UNKNOWN"));
}

#[tokio::test]
async fn wrong_bytes_never_reach_the_client() {
    let world = World::new().await;
    for reference in ["v1", world.image.digest.as_str()] {
        world.cloud.fault(Fault::on(Service::Registry, Effect::WrongBytes).once());
        let answer = world.get(&world.target(&format!("manifests/{reference}"))).await;
        assert_eq!(answer.status, 502, "{reference}");
        assert!(answer.error().message.contains("another digest"), "{}", answer.error().message);
    }
}

#[tokio::test]
async fn short_outages_and_throttling_are_waited_for() {
    let world = World::new().await;
    let throttle = Effect::Answer {
        status: StatusCode::TOO_MANY_REQUESTS,
        headers: vec![(HeaderName::from_static("retry-after"), HeaderValue::from_static("1"))],
        body: bytes::Bytes::new(),
    };
    world.cloud.fault(Fault::on(Service::Registry, throttle).once());
    world.cloud.fault(Fault::on(Service::Registry, Effect::answer(StatusCode::BAD_GATEWAY, "x")).once());
    world.cloud.fault(Fault::on(Service::Registry, Effect::CloseBeforeHead).once());
    let begin = tokio::time::Instant::now();
    assert_eq!(world.get(&world.target("manifests/v1")).await.status, 200);
    assert!(begin.elapsed() >= Duration::from_secs(1), "Retry-After was not kept");
    assert_eq!(world.cloud.journal().count_where(|entry| entry.path.ends_with("/v1")), 4);
}

#[tokio::test]
async fn an_outage_that_lasts_is_502_and_throttling_that_lasts_is_503() {
    let world = World::new().await;
    let broken = world.cloud.fault(Fault::on(Service::Registry, Effect::answer(StatusCode::BAD_GATEWAY, "x")));
    let answer = world.get(&world.target("manifests/v1")).await;
    assert_eq!((answer.status.as_u16(), answer.error().code.as_str()), (502, "UNAVAILABLE"));
    world.cloud.faults().remove(broken);
    world.cloud.fault(Fault::on(Service::Registry, Effect::answer(StatusCode::TOO_MANY_REQUESTS, "x")));
    let answer = world.get(&world.target("manifests/v1")).await;
    assert_eq!((answer.status.as_u16(), answer.error().code.as_str()), (503, "UNAVAILABLE"));
    assert!(!answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_manifest_that_breaks_off_is_asked_for_again() {
    let world = World::new().await;
    world.cloud.fault(Fault::on(Service::Registry, Effect::CutAfter(10)).once());
    assert_eq!(world.get(&world.target("manifests/v1")).await.status, 200);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_accepted() {
    let world = World::new().await;
    world.cloud.fault(Fault::on(Service::Registry, Effect::WrongCertificate));
    let answer = world.get(&world.target("manifests/v1")).await;
    assert_eq!(answer.status, 502);
    assert!(answer.error().message.contains("cannot connect"), "{}", answer.error().message);
    assert_eq!(world.cloud.journal().count(Service::Registry), 0);
}

/// Check 2 (`tests/it/peers.rs`).
#[tokio::test]
async fn silence_becomes_504_before_containerd_gives_up() {
    let world = World::new().await;
    world.cloud.fault(Fault::on(Service::Registry, Effect::Silence));
    let begin = tokio::time::Instant::now();
    let answer = world.get(&world.target("manifests/v1")).await;
    assert_eq!((answer.status.as_u16(), answer.error().code.as_str()), (504, "UNAVAILABLE"));
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_list_of_tags_is_paged_through_this_node() {
    let world = World::new().await;
    for tag in ["v2", "v3", "v4"] {
        world.cloud.push("cri-abcd1234efgh5678", REPOSITORY, tag, &world.image).unwrap();
    }
    let mut tags = Vec::new();
    let mut next = Some(world.target("tags/list?n=2"));
    while let Some(target) = next.take() {
        let page = world.get(&target).await;
        assert_eq!(page.status, 200, "{target}");
        let list: serde_json::Value = serde_json::from_slice(page.bytes()).unwrap();
        tags.extend(list["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()));
        next = page.header("link").strip_prefix('<').and_then(|link| link.split_once('>')).map(|(to, _)| to.to_owned());
    }
    assert_eq!(tags, ["v1", "v2", "v3", "v4"]);
}

#[tokio::test]
async fn referrers_are_passed_through_with_their_absence() {
    let world = World::new().await;
    let target = world.target(&format!("referrers/{}", world.image.digest));
    assert_eq!(world.get(&target).await.status, 404);
    world.cloud.configure(|settings| settings.referrers = true);
    let answer = world.get(&target).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/vnd.oci.image.index.v1+json");
}

/// A reload replaces every upstream whose settings have changed.
#[tokio::test]
async fn what_was_remembered_for_an_upstream_goes_with_it() {
    let world = World::new().await;
    let memory = Arc::clone(&world.memory);
    assert_eq!(world.get(&world.target(&format!("manifests/{}", world.image.digest))).await.status, StatusCode::OK);
    assert_eq!(world.get(&world.target(&format!("blobs/{}", world.layer().0))).await.status, StatusCode::OK);
    assert!(memory.count() >= 2, "a manifest and a URL");
    world.shut_down();
    let World { served, upstream, cloud: _cloud, .. } = world;
    served.await.unwrap();
    drop(upstream);
    // What was fetched ahead lets go of it as soon as it is there.
    let gone = async {
        while memory.count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("nothing is left");
}
