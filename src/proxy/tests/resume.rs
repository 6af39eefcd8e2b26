//! What a bucket says that is not what was asked for, in the middle of a blob and at its beginning.

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use http::header::{CONTENT_RANGE, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};

use super::support::{Setup, World};

/// Where the stream breaks.
const AT: usize = 300_000;
/// More than the first part.
const LAYER: usize = 6 << 20;

/// A 206 for what follows after the break, with these headers and bytes that belong to nothing.
fn partial(length: usize, headers: &[(HeaderName, String)]) -> Effect {
    let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
    Effect::Answer { status: StatusCode::PARTIAL_CONTENT, headers, body: vec![b'x'; length].into() }
}

#[tokio::test]
async fn a_blob_is_continued_by_the_same_object_only() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let (target, total) = (world.target(&format!("blobs/{digest}")), bytes.len());
    let (last, rest) = (total - 1, total - AT);
    let others = [
        partial(rest, &[(CONTENT_RANGE, format!("bytes {AT}-{last}/{total}")), (ETAG, "\"another\"".to_owned())]),
        partial(rest, &[(CONTENT_RANGE, format!("bytes {AT}-{last}/{}", total + 1))]),
        partial(rest - 1, &[(CONTENT_RANGE, format!("bytes {}-{last}/{total}", AT + 1))]),
        partial(rest, &[]),
        Effect::answer(StatusCode::OK, bytes.clone()),
    ];
    for other in others {
        for times in [1, 2] {
            world.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(AT as u64)).once());
            world.cloud.fault(Fault::on(Service::Oss, other.clone()).times(times));
            let answer = world.get(&target).await;
            if times == 1 {
                assert!(answer.bytes() == bytes, "a fresh URL would have healed it");
            } else {
                assert!(answer.body.is_err(), "bytes of something else were taken");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_another_is_asked_for_over_a_fresh_url() {
    let world = World::with(Setup { layer: LAYER, ..Setup::default() }).await;
    let (digest, bytes) = world.layer();
    world.cloud.fault(Fault::on(Service::Oss, Effect::answer(StatusCode::OK, "whole")).after(1).once());
    assert!(world.get(&world.target(&format!("blobs/{digest}"))).await.bytes() == bytes);
    assert_eq!(world.cloud.journal().count(Service::Registry), 2);
}

#[tokio::test]
async fn an_answer_that_is_another_is_asked_for_over_a_fresh_url_before_it_fails() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let (target, total) = (world.target(&format!("blobs/{digest}")), bytes.len());
    let other = partial(10, &[(CONTENT_RANGE, format!("bytes 7-16/{total}"))]);
    for range in ["", "bytes=0-", "bytes=5-"] {
        let headers = [("range", range)];
        let headers = if range.is_empty() { &headers[..0] } else { &headers[..] };
        world.cloud.fault(Fault::on(Service::Oss, other.clone()).once());
        let answer = world.ask("GET", &target, headers).await;
        assert!(answer.bytes().as_ref() == &bytes[if range == "bytes=5-" { 5 } else { 0 }..], "{range}");
        world.cloud.fault(Fault::on(Service::Oss, other.clone()).times(2));
        assert_eq!(world.ask("GET", &target, headers).await.status, 502, "{range}");
    }
}

#[tokio::test]
async fn nothing_behind_a_remembered_url_is_asked_of_the_registry_and_behind_a_fresh_one_is_the_answer() {
    let world = World::new().await;
    let (digest, bytes) = world.layer();
    let target = world.target(&format!("blobs/{digest}"));
    let gone = || Fault::on(Service::Oss, Effect::answer(StatusCode::NOT_FOUND, "gone"));
    assert!(world.get(&target).await.bytes() == bytes);
    world.cloud.fault(gone().once());
    assert!(world.get(&target).await.bytes() == bytes);
    assert_eq!(world.cloud.journal().count(Service::Registry), 2);
    world.cloud.fault(gone());
    assert_eq!(world.get(&target).await.status, 404);
    assert_eq!(world.cloud.journal().count(Service::Registry), 3, "asked once");
    assert_eq!(world.get(&target).await.status, 404);
    assert_eq!(world.cloud.journal().count(Service::Registry), 4, "what is fresh is the answer");
}
