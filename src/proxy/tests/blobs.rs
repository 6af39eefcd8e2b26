use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::settings::UrlSignature;
use http::StatusCode;

use super::support::{Setup, World};
use crate::upstream::BlobMode;

#[tokio::test]
async fn a_blob_comes_whole_and_its_bucket_sees_no_authorization() {
    for (signature, plain_http) in [(UrlSignature::V1, false), (UrlSignature::V1, true), (UrlSignature::V4, false)] {
        let world = World::new().await;
        let (digest, bytes) = world.layer();
        world.cloud.configure(|settings| {
            settings.blob_url.signature = signature;
            settings.blob_url.plain_http = plain_http;
        });
        let headers = [("authorization", "Basic c2VjcmV0"), ("content-type", "a/b"), ("x-oss-meta-a", "b")];
        let answer = world.ask("GET", &world.target(&format!("blobs/{digest}")), &headers).await;
        assert_eq!(answer.status, 200, "{signature:?}, http: {plain_http}");
        assert!(answer.bytes() == bytes);
        assert_eq!(answer.header("content-length"), bytes.len().to_string());
        assert_eq!(answer.header("docker-content-digest"), digest);
        let journal = world.cloud.journal();
        assert_eq!(journal.count(Service::Oss), 1);
        assert!(journal.authorizations_at(Service::Oss).is_empty());
        let mut names = journal.of(Service::Oss)[0].header_names.clone();
        names.sort();
        assert_eq!(names, ["accept-encoding", "host", "range", "user-agent"]);
        assert!(journal.of(Service::Oss)[0].tls_name.is_some());
    }
}

/// Check 11 (`tests/it/peers.rs`).
#[tokio::test]
async fn ranges_are_honoured_to_the_byte() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let (target, total) = (world.target(&format!("blobs/{digest}")), bytes.len());
    let cases = [
        ("bytes=0-", 0..total),
        ("bytes=1000000-", 1_000_000..total),
        ("bytes=5-5", 5..6),
        ("bytes=100-199", 100..200),
        ("bytes=-10", total - 10..total),
        ("bytes=10-999999999999", 10..total),
    ];
    for (range, expected) in cases {
        let answer = world.ask("GET", &target, &[("range", range)]).await;
        if answer.status == 200 {
            // The whole is always a right answer to a range of the whole.
            assert_eq!(expected, 0..total, "{range}");
        } else {
            assert_eq!(answer.status, 206, "{range}");
            let content_range = format!("bytes {}-{}/{total}", expected.start, expected.end - 1);
            assert_eq!(answer.header("content-range"), content_range, "{range}");
        }
        assert!(answer.bytes().as_ref() == &bytes[expected], "{range}");
    }
    for range in [format!("bytes={total}-"), "bytes=-0".to_owned()] {
        let answer = world.ask("GET", &target, &[("range", &range)]).await;
        assert_eq!(answer.status, 416, "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes */{total}"), "{range}");
    }
    // Parts that make most of the blob are no gain.
    for range in ["bytes=0-1,5-", "bytes=x", "lines=1-2"] {
        let answer = world.ask("GET", &target, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.bytes().len()), (200, total), "{range}");
    }
    let several = world.ask("GET", &target, &[("range", "bytes=0-1,5-6")]).await;
    assert_eq!((several.status.as_u16(), several.header("content-range")), (206, ""));
    assert!(several.header("content-type").starts_with("multipart/byteranges; boundary="));
}

/// Check 12 (`tests/it/peers.rs`).
#[tokio::test]
async fn the_head_of_a_blob_is_told_also_where_the_registry_redirects_it() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let target = world.target(&format!("blobs/{digest}"));
    let direct = world.ask("HEAD", &target, &[]).await;
    let elsewhere = Effect::Redirect("https://nowhere.oss-cn-hangzhou.aliyuncs.com/x".to_owned());
    world.cloud.fault(Fault::on(Service::Registry, elsewhere).method(http::Method::HEAD).once());
    let redirected = world.ask("HEAD", &target, &[]).await;
    for answer in [direct, redirected] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), bytes.len().to_string());
        assert_eq!(answer.header("docker-content-digest"), digest);
        assert!(answer.header("content-range").is_empty());
    }
}

#[tokio::test]
async fn a_broken_stream_is_continued_and_the_client_sees_one_body() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let faults = [Effect::CutAfter(1_000_000), Effect::ResetAfter(700_000), Effect::CutAfter(0)];
    let target = world.target(&format!("blobs/{digest}"));
    for effect in faults {
        world.cloud.fault(Fault::on(Service::Oss, effect.clone()).once());
        let answer = world.get(&target).await;
        assert!(answer.bytes() == bytes, "{effect:?}");
    }
    // A part is continued within its bounds.
    world.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(1_000)).once());
    world.cloud.journal().clear();
    let part = world.ask("GET", &target, &[("range", "bytes=1000-2000999")]).await;
    assert!(part.bytes().as_ref() == &bytes[1_000..2_001_000]);
    let ranges: Vec<_> = world.cloud.journal().of(Service::Oss).into_iter().filter_map(|entry| entry.range).collect();
    assert_eq!(ranges, ["bytes=1000-2000999", "bytes=2000-2000999"]);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_continued() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(500_000)).once());
    assert!(world.get(&world.target(&format!("blobs/{digest}"))).await.bytes() == bytes);
}

/// Check 3 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_stream_that_cannot_be_continued_is_cut_and_not_ended() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    world.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(300_000)).once());
    world.cloud.fault(Fault::on(Service::Oss, Effect::answer(StatusCode::NOT_FOUND, "gone")));
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", world.target(&format!("blobs/{digest}")));
    // Reading to the end is an error where the connection is reset, and it must not be.
    let answer = world.raw(request.as_bytes()).await.unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{}", text.lines().next().unwrap());
    assert!(text.contains(&format!("content-length: {}\r\n", bytes.len())));
    let body = answer.len() - answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() - 4;
    assert!(body <= 300_000, "{body}");
}

#[tokio::test]
async fn an_object_that_changed_is_not_glued_to_the_old_one() {
    let world = World::new().await;
    let (digest, _) = world.layer();
    world.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(300_000)).once());
    // 200 where a part was asked for: the whole again, which must not be appended.
    world.cloud.fault(Fault::on(Service::Oss, Effect::answer(StatusCode::OK, "whole")));
    let answer = world.get(&world.target(&format!("blobs/{digest}"))).await;
    assert!(answer.body.is_err());
}

/// Check 4 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_url_that_has_expired_or_is_refused_is_asked_for_anew_once() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let target = world.target(&format!("blobs/{digest}"));
    for service in [Service::Registry, Service::Oss] {
        world.cloud.fault(Fault::on(service, Effect::ExpiredSignature).once());
        assert!(world.get(&target).await.bytes() == bytes, "{service:?}");
    }
    world.cloud.fault(Fault::on(Service::Oss, Effect::ExpiredSignature));
    world.cloud.journal().clear();
    let answer = world.get(&target).await;
    assert_eq!(answer.status, 502);
    assert!(answer.error().message.contains("AccessDenied"), "{}", answer.error().message);
    assert_eq!(world.cloud.journal().count(Service::Oss), 2);
}

#[tokio::test]
async fn an_outage_of_the_bucket_is_waited_for() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    world.cloud.fault(Fault::on(Service::Oss, Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "x")).times(2));
    world.cloud.fault(Fault::on(Service::Oss, Effect::CloseBeforeHead).once());
    assert!(world.get(&world.target(&format!("blobs/{digest}"))).await.bytes() == bytes);
}

/// Check 10 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_redirect_to_anywhere_else_is_refused_and_not_followed() {
    let world = World::new().await;
    let (digest, _) = world.layer();
    let locations = [
        "https://evil.example.com/x?Signature=very-secret",
        "http://127.0.0.1:1/x",
        "https://user:pass@a.oss-cn-hangzhou.aliyuncs.com/x",
        "https://a.oss-cn-hangzhou.aliyuncs.com:8443/x",
        "https://sts.aliyuncs.com/",
        "/v2/elsewhere",
        "not a url",
        "",
    ];
    for location in locations {
        world.cloud.journal().clear();
        world.cloud.fault(Fault::on(Service::Registry, Effect::Redirect(location.to_owned())).once());
        let answer = world.get(&world.target(&format!("blobs/{digest}"))).await;
        assert_eq!(answer.status, 502, "{location}");
        let message = answer.error().message;
        assert!(message.contains("redirect") && !message.contains("secret"), "{location}: {message}");
        assert_eq!(world.cloud.journal().entries().len(), 1, "{location}");
    }
}

/// Check 10 (`tests/it/peers.rs`).
#[tokio::test]
async fn hops_between_buckets_are_followed_without_a_header_of_the_hop_before() {
    let world = World::new().await;
    let (digest, _) = world.layer();
    let again = Effect::Redirect("https://other.oss-cn-hangzhou.aliyuncs.com/loop".to_owned());
    world.cloud.fault(Fault::on(Service::Oss, again));
    let answer = world.get(&world.target(&format!("blobs/{digest}"))).await;
    assert_eq!(answer.status, 502);
    assert!(answer.error().message.contains("too many hops"), "{}", answer.error().message);
    assert_eq!(world.cloud.journal().count(Service::Oss), 5);
    assert!(world.cloud.journal().authorizations_at(Service::Oss).is_empty());
}

#[tokio::test]
async fn a_small_blob_may_come_from_the_registry_itself() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    world.cloud.configure(|settings| settings.blob_url.direct_up_to = u64::MAX);
    assert!(world.get(&world.target(&format!("blobs/{digest}"))).await.bytes() == bytes);
    assert_eq!(world.cloud.journal().count(Service::Oss), 0);
}

#[tokio::test]
async fn the_redirect_is_handed_on_where_the_configuration_says_so() {
    let world = World::with(Setup { mode: BlobMode::Redirect, ..Setup::default() }).await;
    let (digest, _) = world.layer();
    let answer = world.get(&world.target(&format!("blobs/{digest}"))).await;
    assert_eq!(answer.status, 307);
    assert!(answer.header("location").starts_with("https://cri-abcd1234efgh5678-registry.oss-cn-hangzhou-internal."));
    assert_eq!(world.cloud.journal().count(Service::Oss), 0);
}

#[tokio::test]
async fn a_client_that_leaves_takes_the_stream_with_it() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", world.target(&format!("blobs/{digest}")));
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(bytes.len() as u64 / 2)).once());
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0; 1000]).await.unwrap();
    drop(stream);
    let given_up = |entries: &[cloudsim::journal::Entry]| {
        entries.iter().any(|entry| entry.service == Service::Oss && entry.over && entry.status == Some(200))
    };
    let waited = world.cloud.journal().wait_for(given_up);
    tokio::time::timeout(std::time::Duration::from_secs(10), waited).await.unwrap();
}

#[tokio::test]
async fn a_further_connection_to_a_bucket_resumes_the_session_of_the_first() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let target = world.target(&format!("blobs/{digest}"));
    let part = |range| [("range", range)];
    assert_eq!(world.ask("GET", &target, &part("bytes=0-99")).await.bytes().as_ref(), &bytes[..100]);
    // The first connection is busy.
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(10)).once());
    let _held = world.begin("GET", &target, &part("bytes=0-999")).await;
    assert_eq!(world.ask("GET", &target, &part("bytes=5-9")).await.bytes().as_ref(), &bytes[5..10]);
    let entries = world.cloud.journal().of(Service::Oss);
    let seen: Vec<_> = entries.iter().map(|entry| (entry.connection, entry.tls_resumed)).collect();
    let (first, further) = (seen[0].0, seen[2].0);
    assert_ne!(first, further);
    assert_eq!(seen, [(first, false), (first, false), (further, true)]);
}
