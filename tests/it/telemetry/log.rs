//! The log, as a collector reads it: one audit line for each pull, and complaints that do not bury each other.

use std::collections::BTreeSet;

use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::Instance;
use cloudsim::ram::setup::{self, INSTANCE, PULL_ROLE};
use cloudsim::{CloudSim, Method};
use http::StatusCode;
use jiff::SignedDuration;
use serde_json::Value;

use super::LIMIT;
use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG, blob, manifest};

/// What STS calls the request that it refuses.
const STS_ID: &str = "5B8A1D7C-0001";

/// A refusal of AssumeRole under that name.
fn no_permission() -> Fault {
    let body = format!(r#"{{"Code":"NoPermission","Message":"You may not.","RequestId":"{STS_ID}"}}"#);
    Fault::on(Service::Sts, Effect::answer(StatusCode::FORBIDDEN, body)).action("AssumeRole")
}

/// The audit line of the request with this id.
async fn audit_line(daemon: &mut Daemon, id: &str) -> Value {
    daemon.wait_for_line(LIMIT, |line| line["target"] == "audit" && line["request_id"] == id).await
}

fn assert_fields(line: &Value, expected: &[(&str, &str)]) {
    for (field, expected) in expected {
        assert_eq!(line[*field], *expected, "{field} in {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pull_is_one_audit_line() {
    let mut node = Node::start().await;
    let (digest, bytes) = node.image.blobs[0].clone();
    let of_head = node.mirror.head(&manifest(TAG)).await.expect(200).header("x-request-id").to_owned();
    node.mirror.get("/v2/").await.expect(200);
    let by_tag = node.mirror.get(&manifest(TAG)).await.expect(200).header("x-request-id").to_owned();
    let of_blob = node.mirror.get(&blob(&digest)).await.expect(200).header("x-request-id").to_owned();
    let common = [("level", "info"), ("instance", INSTANCE), ("repository", REPOSITORY), ("role", PULL_ROLE)];
    let resolved = node.image.digest.as_str();
    let of_manifest = [("reference", TAG), ("digest", resolved), ("kind", "manifest"), ("outcome", "complete")];

    // All that containerd asks for where it has the image already.
    let line = audit_line(&mut node.daemon, &of_head).await;
    assert_fields(&line, &common);
    assert_fields(&line, &of_manifest);
    assert_fields(&line, &[("msg", "found"), ("method", "HEAD")]);
    assert!(line["bytes"] == 0 && line["status"] == 200, "{line}");

    let line = audit_line(&mut node.daemon, &by_tag).await;
    assert_fields(&line, &common);
    assert_fields(&line, &of_manifest);
    assert_fields(&line, &[("msg", "pulled"), ("method", "GET")]);
    assert!(line["duration_ms"].is_u64() && line["bytes"].as_u64() > Some(0) && line["status"] == 200, "{line}");

    let line = audit_line(&mut node.daemon, &of_blob).await;
    assert_fields(&line, &common);
    assert_fields(&line, &[("reference", &digest), ("digest", &digest), ("kind", "blob"), ("outcome", "complete")]);
    assert_fields(&line, &[("msg", "pulled")]);
    assert_eq!(line["bytes"], bytes.len(), "{line}");
    assert_eq!(line["resumes"], 0, "{line}");
    let id = line["cloud_request_ids"].as_str().unwrap();
    assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "OSS' name for one request: {line}");
    let lines = node.daemon.log().matches("\"target\":\"audit\"").count();
    assert_eq!(lines, 3, "a ping asks for no content:\n{}", node.daemon.log());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_breaks_is_logged_with_every_request_that_brought_it() {
    let mut node = Node::with(Method::Rrsa, Image::random(1, 8 << 20, 3)).await;
    let (digest, _) = node.image.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().clone();
    node.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(1 << 20)).once());
    let reply = node.mirror.get(&blob(&digest)).await.expect(200);
    assert!(reply.complete);
    let line = audit_line(&mut node.daemon, reply.header("x-request-id")).await;
    let ids: Vec<_> = line["cloud_request_ids"].as_str().unwrap().split(',').collect();
    let resumes = usize::try_from(line["resumes"].as_u64().unwrap()).unwrap();
    assert!(resumes > 0 && ids.len() > resumes, "{line}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{line}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_is_refused_is_an_audit_line_too_unless_it_leads_to_no_instance() {
    let mut node = Node::start().await;
    node.mirror.get("/v2/team/app/manifests/v1?ns=registry.example.com").await.expect(404);
    let absent = node.mirror.head(&manifest("v2")).await.expect(404).header("x-request-id").to_owned();
    let line = audit_line(&mut node.daemon, &absent).await;
    assert_fields(&line, &[("level", "info"), ("msg", "not pulled"), ("outcome", "refused"), ("reference", "v2")]);
    assert_fields(&line, &[("method", "HEAD"), ("instance", INSTANCE), ("repository", REPOSITORY)]);
    assert!(line["status"] == 404 && line["bytes"] == 0 && line["digest"].is_null(), "{line}");
    let lines = node.daemon.log().matches("\"target\":\"audit\"").count();
    assert_eq!(lines, 1, "nothing of a registry that is not served:\n{}", node.daemon.log());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_pull_names_the_client_s_request_and_the_cloud_s_by_different_words() {
    let cloud = CloudSim::start().await.unwrap();
    cloud.fault(no_permission());
    let mut daemon = Daemon::as_configured(&cloud.node_config(Method::Rrsa)).await;
    let reply = Mirror::at(daemon.listen).get(&manifest(TAG)).await.expect(403);
    let id = reply.header("x-request-id");
    let complaint = daemon.wait_for_line(LIMIT, |line| line["msg"] == "a pull request failed").await;
    assert_fields(&complaint, &[("request_id", id), ("cloud_request_id", STS_ID), ("instance", INSTANCE)]);
    assert_fields(&complaint, &[("repository", REPOSITORY), ("reference", TAG), ("level", "warn")]);
    let line = audit_line(&mut daemon, id).await;
    assert_fields(&line, &[("cloud_request_ids", STS_ID), ("outcome", "refused"), ("msg", "not pulled")]);
    assert_eq!(line["status"], 403, "{line}");
    daemon.stop();
}

/// Pulls go on meanwhile, so that nothing else says that something is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_while_pulls_go_on_is_a_warning() {
    let cloud = CloudSim::start().await.unwrap();
    let repositories = [REPOSITORY, "team/second", "team/third"];
    for repository in repositories {
        cloud.push(INSTANCE, repository, TAG, &Image::random(1, 1024, 6)).unwrap();
    }
    let mut daemon = Daemon::as_configured(&cloud.node_config(Method::Rrsa)).await;
    let mirror = Mirror::at(daemon.listen);
    let pull =
        async |repository| mirror.get(&format!("/v2/{repository}/manifests/{TAG}?ns={DOMAIN}")).await.expect(200);
    pull(repositories[0]).await;
    cloud.fault(no_permission());
    // Less is left of every session than expiringThreshold. With one bearer the daemon learns the time, with the next it
    // renews.
    cloud.clock().advance(SignedDuration::from_mins(50));
    pull(repositories[1]).await;
    pull(repositories[2]).await;
    let line = daemon.wait_for_line(LIMIT, |line| line["msg"] == "a token could not be fetched").await;
    assert_fields(&line, &[("level", "warn"), ("instance", INSTANCE), ("hop", "assume_role")]);
    assert_fields(&line, &[("cloud_request_id", STS_ID)]);
    for (field, part) in [("error", "NoPermission"), ("advice", PULL_ROLE)] {
        assert!(line[field].as_str().is_some_and(|text| text.contains(part)), "{field} in {line}");
    }
    assert!(line["usable_until"].is_string() && line["blame"].is_string(), "{line}");
    pull(repositories[0]).await;
    let log = daemon.stop();
    assert!(!log.contains("a pull request failed"), "{log}");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut hops = lines.filter(|line| line["msg"] == "a token could not be fetched").map(|line| line["hop"].clone());
    assert!(hops.all(|hop| hop == "assume_role"), "what fails with it is not told again:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failures_of_one_instance_do_not_hide_those_of_another() {
    let directory = setup::directory();
    let other = Instance::new("cri-second0000000000", "second", setup::REGION, setup::ACCOUNT_B);
    let domains = [DOMAIN.to_owned(), other.vpc_domain()];
    directory.add_instance(other);
    let cloud = CloudSim::builder().directory(directory).start().await.unwrap();
    cloud.fault(no_permission());
    let daemon = Daemon::as_configured(&cloud.node_config(Method::Rrsa)).await;
    let mirror = Mirror::at(daemon.listen);
    for domain in domains.iter().cycle().take(8) {
        mirror.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={domain}")).await.expect(403);
    }
    let log = daemon.stop();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let complaints = lines.filter(|line| line["msg"] == "a pull request failed" && line["repeated"].is_null());
    let instances: Vec<_> = complaints.map(|line| line["instance"].as_str().unwrap().to_owned()).collect();
    assert_eq!(instances, [INSTANCE, "cri-second0000000000"], "each once:\n{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_failures_is_one_line_until_somebody_looks_closer() {
    let cloud = CloudSim::start().await.unwrap();
    cloud.fault(Fault::on(Service::Sts, Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "")));
    let config = cloud.node_config(Method::WorkerRole);
    let quiet = format!("{config}log: {{level: info}}\n");
    let mut daemon = Daemon::as_configured(&quiet).await;
    let mirror = Mirror::at(daemon.listen);
    let complaints = |daemon: &Daemon| daemon.log().matches("\"msg\":\"a pull request failed\"").count();
    for _ in 0..50 {
        mirror.get(&manifest(TAG)).await.expect(503);
    }

    // A reload with the level at debug shows every one, without a restart.
    std::fs::write(daemon.config_file(), format!("{config}log: {{level: debug}}\n")).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_line(LIMIT, |line| line["msg"] == "the new configuration is in use").await;
    // What was said before a line that has come has come too.
    assert_eq!(complaints(&daemon), 1, "{}", daemon.log());
    for _ in 0..5 {
        mirror.get(&manifest(TAG)).await.expect(503);
    }
    mirror.get("/v2/team/app/manifests/v1?ns=registry.example.com").await.expect(404);
    let log = daemon.stop();
    assert_eq!(log.matches("\"msg\":\"a pull request failed\"").count(), 6, "{log}");
    assert!(log.contains("\"level\":\"debug\""));
    assert!(log.contains("\"span\":\"request{") && !log.contains("\\u001b"), "no colours in JSON: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_handed_to_the_bucket_is_in_the_audit_log_too() {
    let cloud = CloudSim::start().await.unwrap();
    let image = Image::random(1, 1024, 5);
    cloud.push(INSTANCE, REPOSITORY, TAG, &image).unwrap();
    let config = format!("{}blobs: {{mode: redirect}}\n", cloud.node_config(Method::WorkerRole));
    let mut daemon = Daemon::start(&config).await;
    Mirror::at(daemon.listen).get(&blob(&image.blobs[0].0)).await.expect(307);
    let line = daemon.wait_for_line(LIMIT, |line| line["target"] == "audit").await;
    assert_eq!((line["outcome"].as_str(), line["bytes"].as_u64()), (Some("redirected"), Some(0)), "{line}");
    daemon.stop();
}
