//! The simulator over real sockets, asked by a bare HTTP client.

mod client;
mod faults;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Response, StatusCode, Version};
use serde_json::Value;
use tokio::time::Instant;

use super::CloudSim;
use crate::fault::{Effect, Fault};
use crate::hash::sha256;
use crate::image::Image;
use crate::journal::Service;
use crate::pace::Pace;
use crate::ram::setup;
use crate::settings::RealmHost;
use crate::sign::signer::Signer;
use client::{Client, get};

const DOMAIN: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const REALM: &str = "dockerauth-vpc.cn-hangzhou.aliyuncs.com";
const CR: &str = "cr-vpc.cn-hangzhou.aliyuncs.com";
const STS: &str = "sts-vpc.cn-hangzhou.aliyuncs.com";

fn json(answer: &Response<bytes::Bytes>) -> Value {
    assert_eq!(answer.status(), StatusCode::OK, "{}", String::from_utf8_lossy(answer.body()));
    serde_json::from_slice(answer.body()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// From the metadata service to a bearer for `team/app`, every hop over its socket.
async fn bearer(cloud: &CloudSim, client: &Client) -> String {
    let path = "/latest/meta-data/ram/security-credentials/";
    let role = client.metadata(cloud, path).await;
    let role = String::from_utf8(role.body().to_vec()).unwrap();
    let node = json(&client.metadata(cloud, &format!("{path}{}", role.trim())).await);
    let node = Signer {
        access_key_id: text(&node, "AccessKeyId").to_owned(),
        secret: text(&node, "AccessKeySecret").to_owned(),
        security_token: Some(text(&node, "SecurityToken").to_owned()),
    };
    let now = cloud.clock().now();
    let parameters = [("RoleArn", setup::PULL_ROLE), ("RoleSessionName", "node-1")];
    let call = node.acs3(STS, ("AssumeRole", "2015-04-01"), &parameters, now);
    let session = &json(&client.send(call).await.unwrap())["Credentials"];
    let puller = Signer {
        access_key_id: text(session, "AccessKeyId").to_owned(),
        secret: text(session, "AccessKeySecret").to_owned(),
        security_token: Some(text(session, "SecurityToken").to_owned()),
    };
    let action = ("GetAuthorizationToken", "2018-12-01");
    let call = puller.acs3(CR, action, &[("InstanceId", setup::INSTANCE)], now);
    let login = json(&client.send(call).await.unwrap());
    let basic = format!("{}:{}", text(&login, "TempUsername"), text(&login, "AuthorizationToken"));
    let service = format!("registry.aliyuncs.com:{}:china:{}", setup::REGION, setup::INSTANCE);
    let call = get(REALM, &format!("/auth?service={service}&scope=repository:team/app:pull"))
        .with("authorization", &format!("Basic {}", STANDARD.encode(basic)));
    text(&json(&client.send(call.0).await.unwrap()), "token").to_owned()
}

/// A cloud with one image of a single layer, a client and a bearer.
async fn ready(layer: usize) -> (CloudSim, Client, Image, String) {
    let cloud = CloudSim::start().await.unwrap();
    let image = Image::random(1, layer, 1);
    cloud.push(setup::INSTANCE, "team/app", "v1", &image).unwrap();
    let client = Client::trusting(&cloud);
    let bearer = bearer(&cloud, &client).await;
    (cloud, client, image, bearer)
}

/// Host and path with query of the presigned URL for the image's layer.
async fn signed_url(client: &Client, image: &Image, bearer: &str) -> (String, String) {
    let path = format!("/v2/team/app/blobs/{}", image.layers[0]);
    let redirect = client.send(get(DOMAIN, &path).bearer(bearer)).await.unwrap();
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    let location = redirect.headers()["location"].to_str().unwrap();
    let (host, path) = location.strip_prefix("https://").unwrap().split_once('/').unwrap();
    (host.to_owned(), format!("/{path}"))
}

#[tokio::test]
async fn a_pull_goes_through_the_whole_chain() {
    let (cloud, client, image, bearer) = ready(300_000).await;

    let challenge = client.send(get(DOMAIN, "/v2/team/app/manifests/v1").0).await.unwrap();
    assert_eq!(challenge.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge.headers()["www-authenticate"].to_str().unwrap().contains(&format!("https://{REALM}/auth")));

    let index = client.send(get(DOMAIN, "/v2/team/app/manifests/v1?ns=x").bearer(&bearer)).await.unwrap();
    assert_eq!(sha256(index.body()), image.digest);
    let manifest = json(&index)["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let manifest =
        client.send(get(DOMAIN, &format!("/v2/team/app/manifests/{manifest}")).bearer(&bearer)).await.unwrap();
    assert_eq!(json(&manifest)["layers"][0]["digest"], image.layers[0]);

    let (host, path) = signed_url(&client, &image, &bearer).await;
    let blob = client.send(get(&host, &path).0).await.unwrap();
    assert_eq!(sha256(blob.body()), image.layers[0]);
    assert!(blob.headers().contains_key("date"));

    assert!(cloud.journal().authorizations_at(Service::Oss).is_empty());
    assert_eq!(cloud.journal().count_action("AssumeRole"), 1);
    let oss = &cloud.journal().of(Service::Oss)[0];
    assert_eq!((oss.bytes_sent, oss.status), (blob.body().len() as u64, Some(200)));
    let secrets = cloud.issued_secrets();
    assert!(secrets.contains(&bearer), "the bearer is on the list of secrets");
}

#[tokio::test]
async fn http2_is_offered_everywhere_but_at_oss() {
    let (cloud, client, image, bearer) = ready(1_000).await;
    let base = client.send_http2(get(DOMAIN, "/v2/").bearer(&bearer)).await.unwrap();
    assert_eq!(base.status(), StatusCode::OK);
    let (host, path) = signed_url(&client, &image, &bearer).await;
    assert!(client.send_http2(get(&host, &path).0).await.is_err());
    assert!(cloud.journal().of(Service::Registry).iter().any(|entry| entry.version == Version::HTTP_2));
}

#[tokio::test]
async fn a_login_ends_with_its_session_and_a_revoked_one_at_once() {
    let (cloud, client, _, old) = ready(1_000).await;
    cloud.revoke_bearers();
    let refused = client.send(get(DOMAIN, "/v2/").bearer(&old)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let fresh = bearer(&cloud, &client).await;
    assert_eq!(client.send(get(DOMAIN, "/v2/").bearer(&fresh)).await.unwrap().status(), StatusCode::OK);
    cloud.directory().remove_permission(setup::PULL_ROLE, "cr:PullRepository");
    let powerless = bearer(&cloud, &client).await;
    let refused = client.send(get(DOMAIN, "/v2/team/app/tags/list").bearer(&powerless)).await.unwrap();
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("insufficient_scope"));
}

#[tokio::test]
async fn names_nobody_has_and_certificates_for_other_names_are_told_apart() {
    let cloud = CloudSim::start().await.unwrap();
    let client = Client::trusting(&cloud);
    let stranger = client.send(get("registry.example.org", "/v2/").0).await.unwrap();
    assert_eq!(stranger.status(), StatusCode::MISDIRECTED_REQUEST);
    cloud.fault(Fault::on_any(Effect::WrongCertificate).host(DOMAIN).once());
    assert!(client.send(get(DOMAIN, "/v2/").0).await.is_err());
    assert_eq!(client.send(get(DOMAIN, "/v2/").0).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(cloud.journal().count(Service::Registry), 1, "no request came over the refused connection");
}

#[tokio::test]
async fn the_realm_may_move_to_a_host_of_its_own() {
    let cloud = CloudSim::start().await.unwrap();
    let client = Client::trusting(&cloud);
    cloud.configure(|settings| settings.realm.host = RealmHost::Url("https://collect.example.net/t".to_owned()));
    assert!(cloud.hosts().iter().any(|(name, _)| name == "collect.example.net"));
    client.send(get("collect.example.net", "/t?service=x").0).await.unwrap();
    cloud.configure(|settings| settings.realm.host = RealmHost::RegistryItself);
    client.send(get(DOMAIN, "/auth?service=x").0).await.unwrap();
    assert_eq!(cloud.journal().count(Service::Realm), 2);
}

#[tokio::test]
async fn pace_limits_the_bytes_of_a_connection() {
    let (cloud, client, image, bearer) = ready(200_000).await;
    let (host, path) = signed_url(&client, &image, &bearer).await;
    cloud.paces().set_of(Service::Oss, Pace { bytes_per_second: Some(1_000_000), ..Pace::default() });
    let before = Instant::now();
    client.send(get(&host, &path).0).await.unwrap();
    let took = before.elapsed().as_secs_f64();
    assert!((0.15..1.0).contains(&took), "200 kB at 1 MB/s took {took} s");
}

#[tokio::test]
async fn a_new_connection_costs_two_round_trips_and_a_request_one() {
    let cloud = CloudSim::start().await.unwrap();
    let client = Client::trusting(&cloud);
    cloud.paces().set(Pace::round_trip(Duration::from_millis(30)));
    let before = Instant::now();
    client.send(get(DOMAIN, "/v2/").0).await.unwrap();
    assert!(before.elapsed() >= Duration::from_millis(90));
}

#[tokio::test]
async fn dropping_the_cloud_closes_its_port_and_removes_its_files() {
    let cloud = CloudSim::start().await.unwrap();
    let (address, file) = (cloud.tls_addr(), cloud.ca_file());
    let mut open = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(file.exists());
    drop(cloud);
    assert!(!file.exists());
    let mut rest = Vec::new();
    // Ends when the server lets go of the connection, by FIN or by RST.
    tokio::io::AsyncReadExt::read_to_end(&mut open, &mut rest).await.ok();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_configuration_names_every_host_and_the_chain_of_its_method() {
    let cloud = CloudSim::start().await.unwrap();
    let yaml = cloud.node_config(crate::Method::MultiHop);
    assert!(yaml.contains(&format!("    \"{DOMAIN}\": {}\n", cloud.tls_addr())));
    assert!(yaml.contains("\"*.oss-cn-hangzhou-internal.aliyuncs.com\":"));
    assert!(yaml.contains(&format!("    assumeRoleARN: [\"{}\", \"{}\"]\n", setup::HOP_ROLE, setup::PULL_ROLE)));
    let incumbent = cloud.acr_configuration(crate::Method::Rrsa);
    assert!(
        incumbent.contains(
            "\n  acr-registry-info: |\n    - instanceId: cri-abcd1234efgh5678\n      regionId: cn-hangzhou\n"
        )
    );
    assert!(!incumbent.contains("customAccessKey"));
    assert!(cloud.node_config(crate::Method::AccessKey).contains("    customAccessKey: LTAI5t"));
}

#[tokio::test]
async fn head_answers_have_a_length_and_no_body() {
    let (_cloud, client, image, bearer) = ready(1_000).await;
    let mut call = get(DOMAIN, "/v2/team/app/manifests/v1").bearer(&bearer);
    call.method = Method::HEAD;
    let head = client.send(call).await.unwrap();
    assert_eq!(head.headers()["docker-content-digest"].to_str().unwrap(), image.digest);
    assert!(head.headers()["content-length"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert!(head.body().is_empty());
}
