//! What the tests of the services share: a fixed time, calls to STS, and reading an answer.

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::call::{Answer, Call};
use crate::ram::{Credentials, Directory, setup};
use crate::sign::signer::{Signer, into_form, unsigned};
use crate::{date, sts};

pub(crate) const STS: &str = "sts-vpc.cn-hangzhou.aliyuncs.com";
pub(crate) const ASSUME_ROLE: (&str, &str) = ("AssumeRole", "2015-04-01");

pub(crate) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(crate) fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// Status and JSON body.
pub(crate) fn json(answer: &Answer) -> (StatusCode, Value) {
    (answer.status(), serde_json::from_slice(answer.body()).unwrap())
}

/// The `Code` of a refusal.
#[track_caller]
pub(crate) fn refusal(answer: &Answer) -> (u16, String) {
    let (status, body) = json(answer);
    assert!(body["RequestId"].is_string(), "no request id: {body}");
    (status.as_u16(), body["Code"].as_str().unwrap().to_owned())
}

/// The signer of a user of the furnished cloud.
pub(crate) fn user(directory: &Directory, arn: &str) -> Signer {
    Signer::from(&directory.access_key(arn).unwrap())
}

/// An AssumeRole call with V3; more parameters than role and session name as wanted.
pub(crate) fn assume_role(signer: &Signer, role: &str, more: &[(&str, &str)], now: Timestamp) -> Call {
    let mut parameters = vec![("RoleArn", role), ("RoleSessionName", "node-1")];
    parameters.extend(more);
    signer.acs3(STS, ASSUME_ROLE, &parameters, now)
}

/// An AssumeRoleWithOIDC call the way the daemon sends it: everything in a form body, nothing signed.
pub(crate) fn with_oidc(token: &str, more: &[(&str, &str)], now: Timestamp) -> Call {
    let timestamp = date::iso(now);
    let mut parameters = vec![
        ("Action", "AssumeRoleWithOIDC"),
        ("Version", "2015-04-01"),
        ("Format", "JSON"),
        ("Timestamp", timestamp.as_str()),
        ("RoleArn", setup::CLUSTER_ROLE),
        ("OIDCProviderArn", setup::OIDC_PROVIDER),
        ("RoleSessionName", "node-1"),
        ("OIDCToken", token),
    ];
    parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    parameters.extend(more.iter().filter(|(_, value)| !value.is_empty()));
    into_form(&unsigned(Method::POST, STS, "/", &parameters, now))
}

/// The triple in a successful answer.
#[track_caller]
pub(crate) fn credentials(answer: &Answer) -> Credentials {
    let (status, body) = json(answer);
    assert_eq!(status, StatusCode::OK, "{body}");
    let text = |name: &str| body["Credentials"][name].as_str().unwrap().to_owned();
    Credentials {
        access_key_id: text("AccessKeyId"),
        access_key_secret: text("AccessKeySecret"),
        security_token: text("SecurityToken"),
        expiration: text("Expiration").parse().unwrap(),
    }
}

/// A session of B's pulling role by way of A's cluster role, that lasts `seconds`.
pub(crate) fn pull_session(directory: &Directory, seconds: u32, more: &[(&str, &str)]) -> Credentials {
    let token = directory.oidc_token(setup::SUBJECT, now(), SignedDuration::from_hours(1));
    let cluster = credentials(&sts::handle(directory, &with_oidc(&token, &[], now())));
    let seconds = seconds.to_string();
    let mut parameters = vec![("DurationSeconds", seconds.as_str())];
    parameters.extend(more);
    let call = assume_role(&Signer::from(&cluster), setup::PULL_ROLE, &parameters, now());
    credentials(&sts::handle(directory, &call))
}
