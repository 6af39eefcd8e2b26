//! The metadata service as a node sees it.

use serde_json::Value;

use super::*;
use crate::ram::setup::{PULL_ROLE, WORKER_ROLE, directory};
use crate::sign::signer::{Signer, put, unsigned};
use crate::sts;
use crate::testing::{assume_role, credentials as assumed, json, later, now};

const HOST: &str = "100.100.100.200";
const ROLE: &str = "KubernetesWorkerRole-0123";

fn get(item: &str, seconds: i64) -> Call {
    unsigned(Method::GET, HOST, &format!("{META_DATA}{item}"), &[], later(seconds))
}

fn ask_for_token(ttl: &str) -> Call {
    let mut call = unsigned(Method::PUT, HOST, TOKEN, &[], now());
    put(&mut call, TTL_HEADER, ttl);
    call
}

fn with_token(mut call: Call, token: &str) -> Call {
    put(&mut call, TOKEN_HEADER, token);
    call
}

fn body(answer: &Answer) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

fn role_credentials(cloud: &Directory, seconds: i64) -> Value {
    json(&handle(cloud, &get(&format!("{CREDENTIALS}/{ROLE}"), seconds))).1
}

#[test]
fn the_role_is_named_with_a_line_end() {
    let cloud = directory();
    for path in [CREDENTIALS.to_owned(), format!("{CREDENTIALS}/")] {
        assert_eq!(body(&handle(&cloud, &get(&path, 0))), format!("{ROLE}\n"));
    }
}

#[test]
fn the_nodes_credentials_open_the_other_account() {
    let cloud = directory();
    let triple = role_credentials(&cloud, 0);
    let text = |name: &str| triple[name].as_str().unwrap().to_owned();
    assert_eq!((text("Code").as_str(), text("Expiration").as_str()), ("Success", "2026-01-02T09:04:05Z"));
    let signer = Signer {
        access_key_id: text("AccessKeyId"),
        secret: text("AccessKeySecret"),
        security_token: Some(text("SecurityToken")),
    };
    assert_eq!(assumed(&sts::handle(&cloud, &assume_role(&signer, PULL_ROLE, &[], now()))).expiration, later(3600));
}

#[test]
fn credentials_stay_until_half_an_hour_before_their_end() {
    let cloud = directory();
    let first = role_credentials(&cloud, 0);
    let (hour, half_hour) = (3600, 1800);
    assert_eq!(role_credentials(&cloud, 6 * hour - half_hour), first);
    let next = role_credentials(&cloud, 6 * hour - half_hour + 1);
    assert_ne!(next["AccessKeyId"], first["AccessKeyId"]);
    assert_eq!(next["LastUpdated"], "2026-01-02T08:34:06Z");
}

#[test]
fn credentials_of_a_revoked_session_are_replaced() {
    let cloud = directory();
    let first = role_credentials(&cloud, 0);
    cloud.revoke_sessions(WORKER_ROLE);
    assert_ne!(role_credentials(&cloud, 0)["AccessKeyId"], first["AccessKeyId"]);
}

#[test]
fn a_failure_is_answered_with_200() {
    let cloud = directory();
    cloud.fail_metadata(Some("Failed"));
    let answer = handle(&cloud, &get(&format!("{CREDENTIALS}/{ROLE}"), 0));
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(json(&answer).1, json!({ "Code": "Failed" }));
}

#[test]
fn where_there_is_no_such_role_nothing_is_found() {
    let cloud = directory();
    assert_eq!(handle(&cloud, &get(&format!("{CREDENTIALS}/other"), 0)).status(), StatusCode::NOT_FOUND);
    cloud.attach_role(None);
    for path in [format!("{CREDENTIALS}/"), format!("{CREDENTIALS}/{ROLE}")] {
        assert_eq!(handle(&cloud, &get(&path, 0)).status(), StatusCode::NOT_FOUND);
    }
}

#[test]
fn the_node_knows_where_it_is() {
    let cloud = directory();
    for (item, value) in [
        ("region-id", "cn-hangzhou"),
        ("zone-id", "cn-hangzhou-h"),
        ("owner-account-id", "111111111111"),
        ("instance-id", "i-bp1example0123456789"),
    ] {
        assert_eq!(body(&handle(&cloud, &get(item, 0))), value);
    }
    assert_eq!(handle(&cloud, &get("hostname", 0)).status(), StatusCode::NOT_FOUND);
}

#[test]
fn a_hardened_node_wants_a_token_that_has_not_ended() {
    let cloud = directory();
    cloud.harden_metadata(true);
    assert_eq!(handle(&cloud, &get("region-id", 0)).status(), StatusCode::FORBIDDEN);
    let token = body(&handle(&cloud, &ask_for_token("60")));
    for (seconds, status) in [(0, 200), (59, 200), (60, 401)] {
        let call = with_token(get("region-id", seconds), &token);
        assert_eq!(handle(&cloud, &call).status(), status, "after {seconds} s");
    }
    assert_eq!(handle(&cloud, &with_token(get("region-id", 0), "guessed")).status(), StatusCode::UNAUTHORIZED);
    let mut forwarded = with_token(get("region-id", 0), &token);
    put(&mut forwarded, "x-forwarded-for", "10.0.0.1");
    assert_eq!(handle(&cloud, &forwarded).status(), StatusCode::FORBIDDEN);
}

#[test]
fn a_token_lasts_one_second_to_six_hours() {
    let cloud = directory();
    for (ttl, status) in [("1", 200), ("21600", 200), ("0", 400), ("21601", 400), ("-1", 400), ("an hour", 400)] {
        assert_eq!(handle(&cloud, &ask_for_token(ttl)).status(), status, "{ttl}");
    }
    assert_eq!(handle(&cloud, &unsigned(Method::PUT, HOST, TOKEN, &[], now())).status(), StatusCode::BAD_REQUEST);
    let mut forwarded = ask_for_token("60");
    put(&mut forwarded, "x-forwarded-for", "10.0.0.1");
    assert_eq!(handle(&cloud, &forwarded).status(), StatusCode::FORBIDDEN);
}
