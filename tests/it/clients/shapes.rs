//! Requests of clients that Debian does not have, in the shape that their sources give them: containerd 2.x, BuildKit,
//! nerdctl, Docker Engine with the containerd image store, and podman's partial pulls.

use bytes::Bytes;
use cloudsim::Method as Chain;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::{Entry, Service};
use cloudsim::ram::setup;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::readme::blocks;
use crate::support::client::{Mirror, Reply};
use crate::support::daemon::Daemon;
use crate::support::network::PUBLIC;
use crate::support::{DOMAIN, LIMIT, Node, REPOSITORY, TAG, blob, manifest};

/// What containerd 2.0 and later send with everything they fetch.
const ENCODINGS: (&str, &str) = ("accept-encoding", "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");

/// What containerd, nerdctl and Docker Engine accept when they resolve a tag, in one line.
const MANIFEST_TYPES: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, */*";

/// Large enough for its chunks not to fit into the buffers on the way.
const LAYER: usize = 16 * 1024 * 1024;

/// `concurrent_layer_fetch_buffer` of containerd 2.1 and later.
const CHUNK: usize = 4 * 1024 * 1024;

/// A node with one large layer; its log has what the configuration asks for, and so no more than people would see.
async fn node() -> (Node, String, Bytes) {
    let cloud = cloudsim::CloudSim::start().await.unwrap();
    let image = Image::random(1, LAYER, 21);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).unwrap();
    let daemon = Daemon::as_configured(&cloud.node_config(Chain::Rrsa)).await;
    let mirror = Mirror::at(daemon.listen);
    let layer = image.blobs.iter().find(|(digest, _)| *digest == image.layers[0]).unwrap().clone();
    (Node { cloud, image, daemon, mirror }, layer.0, layer.1)
}

/// containerd 2.1 and later with `concurrent_layer_fetch_buffer`: everything is asked for as `bytes=0-`, and a layer then
/// in chunks that are open-ended, read as far as the chunk goes, and left.
#[tokio::test(flavor = "multi_thread")]
async fn containerd_2_fetches_a_layer_in_chunks_and_leaves_each_early() {
    let (node, digest, bytes) = node().await;
    let from_start = [("range", "bytes=0-"), ENCODINGS];
    let head = node.mirror.ask(Method::HEAD, &manifest(TAG), &[("accept", MANIFEST_TYPES)]).await.expect(200);
    let path = manifest(head.header("docker-content-digest"));
    let index = node.mirror.ask(Method::GET, &path, &from_start).await;
    assert!(matches!(index.status.as_u16(), 200 | 206) && !index.headers.contains_key("content-encoding"));
    assert_eq!(index.body.len().to_string(), head.header("content-length"));

    // A length and a 206 are what makes it go on in chunks.
    let path = blob(&digest);
    let first = node.mirror.open(Method::GET, &path, &from_start).await;
    assert_eq!(
        (first.status().as_u16(), first.headers()["content-length"].to_str().unwrap()),
        (206, bytes.len().to_string().as_str())
    );
    assert_eq!(first.headers()["content-range"], format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len()));
    drop(first);
    let chunks = (0..bytes.len().div_ceil(CHUNK)).map(|number| {
        let (mirror, path, start) = (node.mirror.clone(), path.clone(), number * CHUNK);
        tokio::spawn(async move {
            let range = format!("bytes={start}-");
            let mut body = mirror.open(Method::GET, &path, &[("range", &range), ENCODINGS]).await.into_body();
            let mut read = Vec::new();
            while read.len() < CHUNK
                && let Some(frame) = body.frame().await
            {
                read.extend_from_slice(frame.unwrap().data_ref().map_or(&[][..], |data| data));
            }
            read.truncate(CHUNK);
            read
        })
    });
    let mut whole = Vec::new();
    for chunk in chunks.collect::<Vec<_>>() {
        whole.extend(chunk.await.unwrap());
    }
    assert!(whole == bytes);

    // Whoever left takes the stream from the bucket along, and nobody is alarmed.
    let over = |entries: &[Entry]| entries.iter().all(|entry| entry.over);
    tokio::time::timeout(LIMIT, node.cloud.journal().wait_for(over)).await.unwrap();
    for line in node.daemon.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(!["WARN", "ERROR"].contains(&line["level"].as_str().unwrap().to_uppercase().as_str()), "{line}");
    }
    node.finish().await;
}

/// All versions after a broken body, and c/image, which takes a 206 that reaches the end and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_layer_starts_where_it_broke_and_reaches_the_end() {
    let (node, digest, bytes) = node().await;
    for start in [1, LAYER / 2, bytes.len() - 1] {
        let rest = node.mirror.get_range(&blob(&digest), &format!("bytes={start}-")).await.expect(206);
        assert_eq!(rest.header("content-range"), format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()));
        assert!(rest.body == bytes.slice(start..));
    }
    node.finish().await;
}

/// containerd up to 2.2.5 looks for a digest among the blobs when it is no manifest anywhere, and 2.3.3 and later read
/// the text of a 403 with a GET.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_questions_of_containerd_get_honest_answers() {
    let node = Node::start().await;
    node.mirror.head(&blob(&node.image.digest)).await.expect(404);

    node.cloud.directory().remove_permission(setup::PULL_ROLE, "cr:PullRepository");
    node.cloud.revoke_bearers();
    node.cloud.push(setup::INSTANCE, "team/other", TAG, &node.image).unwrap();
    let path = format!("/v2/team/other/manifests/{TAG}?ns={DOMAIN}");
    let head = node.mirror.head(&path).await.expect(403);
    let (code, message) = node.mirror.get(&path).await.expect(403).error();
    assert_eq!(code, "DENIED");
    assert!(message.contains("cr:PullRepository") && head.reason.contains("cr:PullRepository"), "{message}");
    node.finish().await;
}

/// What follows the daemon's address in the mirror of `buildkitd.toml` is what BuildKit puts behind `/v2/`.
#[test]
fn buildkit_is_sent_to_the_daemon_as_the_readme_shows() {
    let shown = blocks::BUILDKIT.text().replace(PUBLIC, DOMAIN);
    assert_eq!(shown, format!("[registry.\"{DOMAIN}\"]\nmirrors = [\"127.0.0.1:7080/{}\"]\n", buildkit_prefix()));
}

fn buildkit_prefix() -> String {
    DOMAIN.to_owned()
}

/// BuildKit puts the path of its mirror behind `/v2/`, containerd, nerdctl and Docker Engine put that of a `[host]` in front
/// of it, and all name the registry in `ns`.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_may_have_the_domain_for_its_path_and_need_not() {
    let node = Node::start().await;
    let accept = [("accept", MANIFEST_TYPES)];
    let prefix = buildkit_prefix();
    for base in ["/v2".to_owned(), format!("/v2/{prefix}"), format!("/{prefix}/v2")] {
        let path = |rest: &str| format!("{base}/{REPOSITORY}/{rest}?ns={DOMAIN}");
        let head = node.mirror.ask(Method::HEAD, &path(&format!("manifests/{TAG}")), &accept).await.expect(200);
        assert_eq!(head.header("docker-content-digest"), node.image.digest);
        for (digest, bytes) in &node.image.blobs {
            assert_eq!(node.mirror.get(&path(&format!("blobs/{digest}"))).await.expect(200).body, bytes);
        }
    }
    // What stands in front says it all.
    let unnamed = node.mirror.get(&format!("/{prefix}/v2/{REPOSITORY}/manifests/{TAG}")).await.expect(200);
    assert_eq!(unnamed.header("docker-content-digest"), node.image.digest);
    node.mirror.get(&format!("/{prefix}/v2/")).await.expect(200);
    // The prefix of another registry is none.
    for base in ["/v2/other.example.com", "/other.example.com/v2"] {
        node.mirror.get(&format!("{base}/{REPOSITORY}/manifests/{TAG}?ns={DOMAIN}")).await.expect(404);
        node.mirror.get(&format!("{base}/{REPOSITORY}/manifests/{TAG}")).await.expect(404);
    }
    node.finish().await;
}

/// c/image says what it accepts in several lines; without all of them the registry would answer with another manifest.
#[tokio::test(flavor = "multi_thread")]
async fn several_lines_of_accept_count_as_one() {
    let node = Node::start().await;
    let lines: Vec<_> = MANIFEST_TYPES.split(", ").filter(|kind| *kind != "*/*").map(|kind| ("accept", kind)).collect();
    let path = format!("/v2/{DOMAIN}/{REPOSITORY}/manifests/{TAG}");
    let one = node.mirror.ask(Method::GET, &path, &[("accept", MANIFEST_TYPES)]).await.expect(200);
    let several = node.mirror.ask(Method::GET, &path, &lines).await.expect(200);
    assert_eq!(one.header("content-type"), several.header("content-type"));
    assert_eq!(several.header("docker-content-digest"), node.image.digest);
    node.finish().await;
}

/// podman and CRI-O ask for the files of a `zstd:chunked` layer that they lack; they count the parts, take them in order,
/// and take a whole blob as well.
/// Check 11 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn several_ranges_come_as_one_part_each_in_their_order() {
    let (node, digest, bytes) = node().await;
    let length = bytes.len();
    let wanted = [5..6, length - 7..length, 1_000_000..1_300_000, 6..10];
    let reply = node.mirror.get_range(&blob(&digest), "bytes=5-5, -7,1000000-1299999,6-9").await.expect(206);
    assert!(reply.complete && !reply.headers.contains_key("content-range"));
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    let parts = parts(&reply);
    assert_eq!(parts.len(), wanted.len());
    for ((content_range, part), wanted) in parts.iter().zip(wanted) {
        assert_eq!(*content_range, format!("bytes {}-{}/{length}", wanted.start, wanted.end - 1));
        assert!(*part == bytes.slice(wanted));
    }

    // A part that breaks is continued.
    let cut = node.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(100_000)).times(2));
    let reply = node.mirror.get_range(&blob(&digest), "bytes=0-299999,500000-799999").await.expect(206);
    assert!(self::parts(&reply)[1].1 == bytes.slice(500_000..800_000));
    assert_eq!(node.cloud.faults().struck(cut), 2);

    // One that cannot be had cuts the answer short.
    node.cloud.fault(Fault::on(Service::Oss, Effect::answer(http::StatusCode::FORBIDDEN, String::new())).after(1));
    let reply = node.mirror.get_range(&blob(&digest), "bytes=0-9,20-29").await.expect(206);
    assert!(!reply.complete);
    node.cloud.faults().clear();

    // Where the parts are no gain, the answer is the whole.
    let many = (0..200).map(|number| format!("{number}-{number}")).collect::<Vec<_>>().join(",");
    for ranges in ["0-0,0-", &many] {
        let whole = node.mirror.get_range(&blob(&digest), &format!("bytes={ranges}")).await.expect(200);
        assert!(whole.complete && whole.body == bytes, "{ranges}");
    }
    node.finish().await;
}

/// RFC 9110 section 14.2 in its corners. OSS answers a range that reaches beyond the end with the whole object.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_ranges_those_that_can_be_had_are_parts_and_none_is_416() {
    let (node, digest, bytes) = node().await;
    let length = bytes.len();
    let last = (length - 3, length);
    for (ranges, wanted) in [
        ("0-0,99999999-", vec![(0, 1)]),
        ("99999999-,0-0", vec![(0, 1)]),
        (&*format!("{}-99999999,0-0", length - 3), vec![last, (0, 1)]),
        (&*format!("0-0,{}-99999999999999999999999", length - 3), vec![(0, 1), last]),
        (",0-9,,5-14, ", vec![(0, 10), (5, 15)]),
    ] {
        let reply = node.mirror.get_range(&blob(&digest), &format!("bytes={ranges}")).await.expect(206);
        let parts = parts(&reply);
        assert_eq!(parts.len(), wanted.len(), "{ranges}");
        for ((content_range, part), (first, end)) in parts.iter().zip(wanted) {
            assert_eq!(*content_range, format!("bytes {first}-{}/{length}", end - 1), "{ranges}");
            assert!(*part == bytes.slice(first..end), "{ranges}");
        }
    }
    for ranges in ["99999999-,88888888-99999999", "-0,99999999-"] {
        let reply = node.mirror.get_range(&blob(&digest), &format!("bytes={ranges}")).await.expect(416);
        assert_eq!(reply.header("content-range"), format!("bytes */{length}"), "{ranges}");
    }
    node.finish().await;
}

/// RFC 9110 section 13.1.5: a range is meant for one version only, which a strong entity tag tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_under_a_condition_that_does_not_hold_is_answered_with_the_whole() {
    let (node, digest, bytes) = node().await;
    let etag = node.mirror.get(&blob(&digest)).await.expect(200).header("etag").to_owned();
    assert!(etag.starts_with('"'), "{etag}");
    let weak = format!("W/{etag}");
    for (condition, holds) in
        [(&*etag, true), ("\"other\"", false), (&weak, false), ("Wed, 01 Jan 2025 00:00:00 GMT", false), ("", false)]
    {
        for range in ["bytes=10-19", "bytes=0-1,5-6", "bytes=99999999-"] {
            // Nothing tells whether a range that lies beyond the end holds: the whole is never wrong.
            let holds = holds && range != "bytes=99999999-";
            let headers = [("range", range), ("if-range", condition)];
            let reply = node.mirror.ask(Method::GET, &blob(&digest), &headers).await;
            assert_eq!(reply.status, if holds { 206 } else { 200 }, "{condition} {range}");
            assert!(holds || reply.body == bytes, "{condition} {range}");
        }
    }
    node.finish().await;
}

/// The parts of a `multipart/byteranges` (RFC 9110 section 14.6): their `Content-Range` and their bytes.
fn parts(reply: &Reply) -> Vec<(String, Bytes)> {
    let boundary = reply.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let marker = format!("\r\n--{boundary}");
    let starts: Vec<_> = memmem(&reply.body, marker.as_bytes());
    assert_eq!(reply.body.slice(starts[starts.len() - 1]..), format!("{marker}--\r\n"));
    let part = |pair: &[usize]| {
        let part = reply.body.slice(pair[0] + marker.len()..pair[1]);
        let end_of_head = memmem(&part, b"\r\n\r\n")[0];
        let head = String::from_utf8(part[..end_of_head].to_vec()).unwrap().to_lowercase();
        let range = head.lines().find_map(|line| line.strip_prefix("content-range: ")).unwrap().to_owned();
        (range, part.slice(end_of_head + 4..))
    };
    starts.windows(2).map(part).collect()
}

/// Where `needle` begins in `text`.
fn memmem(text: &[u8], needle: &[u8]) -> Vec<usize> {
    text.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle).map(|(place, _)| place).collect()
}
