//! Realm and registry together, asked without a server.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Redirects, Registry};
use crate::call::{Answer, Call};
use crate::oss::signature::UrlSigner;
use crate::realm::{Realm, Rights};
use crate::settings::{RealmHost, UrlSignature};
use crate::shared::Shared;
use crate::store::{InstanceSpec, Manifest};

const PUBLIC: &str = "demo-registry.cn-hangzhou.cr.aliyuncs.com";
const VPC: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const SERVICE: &str = "registry.aliyuncs.com:cn-hangzhou:china:cri-abcd";
const DIGEST: &str = "sha256:4791cda23dbc3d1c7a0491644ae1c819c7d24b516be95df79113119e0f073416";
const PASSWORD: &str = "eyJ:with:colons";

struct World {
    shared: Shared,
    realm: Realm,
    registry: Registry,
    now: Timestamp,
}

fn world() -> World {
    let shared = Shared::default();
    let instance = shared.store.add(InstanceSpec {
        instance_id: Some("cri-abcd".to_owned()),
        region: "cn-hangzhou".to_owned(),
        domains: vec![PUBLIC.to_owned(), VPC.to_owned()],
    });
    instance.put_blob("team/app", DIGEST, Bytes::from_static(b"0123456789"));
    for tag in ["a", "b", "c"] {
        let manifest = Manifest { media_type: "application/x".to_owned(), bytes: Bytes::from_static(b"{}") };
        instance.put_manifest("team/app", Some(tag), DIGEST, manifest);
    }
    let logins = |user: &str, password: &str, _: Timestamp| {
        let can_pull = user == "cr_temp_user";
        let known = password == PASSWORD && (can_pull || user == "cannot_pull");
        known.then(|| Rights {
            instance_id: Some("cri-abcd".to_owned()),
            region: "cn-hangzhou".to_owned(),
            may_pull: Box::new(move |_| can_pull),
        })
    };
    let signer = Arc::new(UrlSigner::new("STS.N", "secret", "token"));
    World {
        realm: Realm::new(&shared, Box::new(logins)),
        registry: Registry::new(&shared, signer),
        shared,
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

impl World {
    fn call(&self, method: Method, host: &str, uri: &str, headers: &[(&str, &str)]) -> Call {
        let lines = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()));
        let headers: HeaderMap = lines.collect();
        let uri = uri.parse().unwrap();
        Call { method, host: host.to_owned(), uri, headers, body: Bytes::new(), now: self.now }
    }

    fn realm(&self, query: &str, user: &str) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{PASSWORD}")));
        let headers: &[(&str, &str)] = if user.is_empty() { &[] } else { &[("authorization", &basic)] };
        self.realm.handle(&self.call(
            Method::GET,
            "dockerauth.cn-hangzhou.aliyuncs.com",
            &format!("/auth?{query}"),
            headers,
        ))
    }

    fn bearer(&self, user: &str) -> String {
        let answer = self.realm(&format!("service={SERVICE}&scope=repository:team/app:pull"), user);
        assert_eq!(answer.status(), StatusCode::OK);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        body["token"].as_str().unwrap().to_owned()
    }

    fn ask(&self, method: Method, host: &str, path: &str, bearer: &str) -> Answer {
        let value = format!("Bearer {bearer}");
        let headers: &[(&str, &str)] = if bearer.is_empty() { &[] } else { &[("authorization", &value)] };
        self.registry.handle(&self.call(method, host, path, headers), Redirects::Good)
    }
}

fn challenge(answer: &Answer) -> &str {
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    answer.headers()["www-authenticate"].to_str().unwrap()
}

#[test]
fn the_challenge_has_a_scope_where_a_repository_is_named() {
    let world = world();
    assert_eq!(
        challenge(&world.ask(Method::GET, PUBLIC, "/v2/", "")),
        format!("Bearer realm=\"https://dockerauth.cn-hangzhou.aliyuncs.com/auth\",service=\"{SERVICE}\"")
    );
    let answer = world.ask(Method::HEAD, VPC, "/v2/team/app/manifests/a", "");
    assert_eq!(
        challenge(&answer),
        format!(
            "Bearer realm=\"https://dockerauth-vpc.cn-hangzhou.aliyuncs.com/auth\",service=\"{SERVICE}\",scope=\"repository:team/app:pull\""
        )
    );
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(body["errors"][0]["detail"][0]["Name"], "team/app");
}

#[test]
fn the_realm_can_be_any_of_the_known_hosts() {
    let world = world();
    let hosts = [
        (RealmHost::Enterprise, "https://dockerauth-ee-vpc.cn-hangzhou.aliyuncs.com/auth"),
        (RealmHost::Hyphen, "https://dockerauth-cn-hangzhou.aliyuncs.com/auth"),
        (RealmHost::RegistryItself, "https://demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/auth"),
        (RealmHost::Url("http://evil.example/x".to_owned()), "http://evil.example/x"),
    ];
    for (host, url) in hosts {
        world.shared.settings.change(|settings| settings.realm.host = host);
        assert!(challenge(&world.ask(Method::GET, VPC, "/v2/", "")).contains(&format!("realm=\"{url}\"")));
    }
}

#[test]
fn a_bearer_lets_in_until_it_expires_or_is_revoked() {
    let mut world = world();
    let bearer = world.bearer("cr_temp_user");
    let ask = |world: &World| world.ask(Method::GET, PUBLIC, "/v2/team/app/manifests/a", &bearer);
    assert_eq!(ask(&world).status(), StatusCode::OK);
    assert_eq!(ask(&world).headers()["docker-content-digest"], DIGEST);
    world.now += SignedDuration::from_secs(600);
    assert!(challenge(&ask(&world)).ends_with("error=\"invalid_token\""));
    world.now -= SignedDuration::from_secs(600);
    world.shared.generation.end();
    assert!(challenge(&ask(&world)).ends_with("error=\"invalid_token\""));
    let fresh = world.bearer("cr_temp_user");
    assert_eq!(world.ask(Method::GET, PUBLIC, "/v2/", &fresh).status(), StatusCode::OK);
}

#[test]
fn a_login_without_pull_and_an_anonymous_client_get_a_bearer_that_allows_nothing() {
    let world = world();
    for user in ["cannot_pull", ""] {
        let bearer = world.bearer(user);
        let answer = world.ask(Method::GET, PUBLIC, "/v2/team/app/manifests/a", &bearer);
        assert!(challenge(&answer).ends_with("error=\"insufficient_scope\""), "{user}");
    }
}

#[test]
fn the_realm_refuses_unknown_logins_and_empty_scopes() {
    let world = world();
    assert_eq!(world.realm(&format!("service={SERVICE}"), "stranger").status(), StatusCode::UNAUTHORIZED);
    let empty = world.realm(&format!("service={SERVICE}&scope="), "cr_temp_user");
    assert_eq!(empty.status(), StatusCode::BAD_REQUEST);
    assert_eq!(empty.body(), "{\"error\":\"bad request\"}\n");
}

#[test]
fn expiry_is_told_only_when_the_settings_say_so() {
    let world = world();
    let query = format!("service={SERVICE}&scope=repository:team/app:pull&scope=repository:team/other:pull,push");
    let body: Value = serde_json::from_slice(world.realm(&query, "cr_temp_user").body()).unwrap();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["access_token", "token"]);
    let claims = world.shared.key.verify(body["token"].as_str().unwrap()).unwrap();
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    assert_eq!(claims["access"][1]["actions"], serde_json::json!(["pull"]));
    world.shared.settings.change(|settings| settings.realm.says_expiry = true);
    let body: Value = serde_json::from_slice(world.realm(&query, "cr_temp_user").body()).unwrap();
    assert_eq!(body["expires_in"], 600);
    assert_eq!(body["issued_at"], "2026-01-02T03:04:05Z");
}

#[test]
fn a_blob_is_redirected_to_the_bucket_on_the_same_side() {
    let world = world();
    let bearer = world.bearer("cr_temp_user");
    let path = format!("/v2/team/app/blobs/{DIGEST}");
    let location = |host| {
        let answer = world.ask(Method::GET, host, &path, &bearer);
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    let internal =
        "https://cri-abcd-registry.oss-cn-hangzhou-internal.aliyuncs.com/docker/registry/v2/blobs/sha256/47/";
    assert!(location(VPC).starts_with(internal));
    assert!(location(VPC).contains("&Expires=1767324245&Signature="));
    world.shared.settings.change(|settings| {
        settings.blob_url.plain_http = true;
        settings.blob_url.signature = UrlSignature::V4;
    });
    assert!(location(PUBLIC).starts_with("http://cri-abcd-registry.oss-cn-hangzhou.aliyuncs.com/"));
    assert!(location(PUBLIC).contains("x-oss-expires=1200"));
    let head = world.ask(Method::HEAD, PUBLIC, &path, &bearer);
    assert_eq!((head.status(), &head.headers()["content-length"]), (StatusCode::OK, &HeaderValue::from_static("10")));
    world.shared.settings.change(|settings| settings.blob_url.direct_up_to = 10);
    assert_eq!(world.ask(Method::GET, PUBLIC, &path, &bearer).body(), "0123456789");
}

#[test]
fn unknown_things_have_their_own_codes() {
    let world = world();
    let answer = world.realm(&format!("service={SERVICE}&scope=repository:no/such:pull"), "cr_temp_user");
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let elsewhere = body["token"].as_str().unwrap().to_owned();
    let here = world.bearer("cr_temp_user");
    let other_digest = DIGEST.replace("47", "48");
    let cases = [
        (&elsewhere, "/v2/no/such/manifests/a".to_owned(), "NAME_UNKNOWN"),
        (&here, "/v2/team/app/manifests/z".to_owned(), "MANIFEST_UNKNOWN"),
        (&here, format!("/v2/team/app/blobs/{other_digest}"), "BLOB_UNKNOWN"),
        (&here, "/v2/team/app/blobs/sha256:totallywrong".to_owned(), "DIGEST_INVALID"),
        (&here, format!("/v2/team/app/referrers/{DIGEST}"), "UNSUPPORTED"),
    ];
    for (bearer, path, code) in cases {
        let answer = world.ask(Method::GET, PUBLIC, &path, bearer);
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!(body["errors"][0]["code"], code, "{path}");
    }
}

#[test]
fn tags_come_page_by_page() {
    let world = world();
    let bearer = world.bearer("cr_temp_user");
    let page = world.ask(Method::GET, PUBLIC, "/v2/team/app/tags/list?n=2", &bearer);
    assert_eq!(page.headers()["link"], "</v2/team/app/tags/list?last=b&n=2>; rel=\"next\"");
    let last = world.ask(Method::GET, PUBLIC, "/v2/team/app/tags/list?n=2&last=b", &bearer);
    assert_eq!(last.body(), "{\"name\":\"team/app\",\"tags\":[\"c\"]}");
    assert!(!last.headers().contains_key("link"));
}

#[test]
fn referrers_are_listed_where_they_are_enabled() {
    let world = world();
    world.shared.settings.change(|settings| settings.referrers = true);
    let signature = serde_json::json!({ "artifactType": "application/sig", "subject": { "digest": DIGEST } });
    let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
    let manifest = Manifest { media_type, bytes: signature.to_string().into() };
    let instance = world.shared.store.by_domain(PUBLIC).unwrap();
    instance.put_manifest("team/app", None, "sha256:5ig", manifest);
    let bearer = world.bearer("cr_temp_user");
    let list = |query: &str| {
        let answer = world.ask(Method::GET, PUBLIC, &format!("/v2/team/app/referrers/{DIGEST}{query}"), &bearer);
        assert_eq!(answer.headers()["content-type"], "application/vnd.oci.image.index.v1+json");
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        (body["manifests"].as_array().unwrap().len(), answer.headers().contains_key("oci-filters-applied"))
    };
    assert_eq!(list(""), (1, false));
    assert_eq!(list("?artifactType=application/sig"), (1, true));
    assert_eq!(list("?artifactType=application/other"), (0, true));
}
