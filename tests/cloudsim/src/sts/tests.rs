//! STS as the daemon meets it: each way in, each refusal.

use jiff::SignedDuration;

use super::*;
use crate::ram::setup::{
    CLUSTER_ROLE, HOP_ROLE, OIDC_PROVIDER, PULL_ROLE, SUBJECT, USER_A, USER_B, WORKER_ROLE, directory,
};
use crate::ram::{Policy, ProviderHealth};
use crate::sign::signer::{Signer, put, unsigned};
use crate::testing::{STS, assume_role, credentials, json, later, now, pull_session, refusal, user, with_oidc};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn a_user_assumes_a_role_of_the_other_account() {
    let cloud = directory();
    let answer = handle(&cloud, &assume_role(&user(&cloud, USER_A), PULL_ROLE, &[], now()));
    assert_eq!(credentials(&answer).expiration, later(3600));
    let (_, body) = json(&answer);
    assert_eq!(body["AssumedRoleUser"]["Arn"], format!("{PULL_ROLE}/node-1"));
    assert_eq!(cloud.calls("AssumeRole"), 1);
}

#[test]
fn the_first_signature_version_works_in_query_and_in_form() {
    let cloud = directory();
    let parameters =
        [("Action", "AssumeRole"), ("Version", VERSION), ("RoleArn", PULL_ROLE), ("RoleSessionName", "node-1")];
    for in_body in [false, true] {
        let call = user(&cloud, USER_A).rpc_v1(STS, &parameters, in_body, now());
        assert_eq!(credentials(&handle(&cloud, &call)).expiration, later(3600));
    }
}

#[test]
fn a_chain_of_three_roles_leads_to_the_other_account() {
    let cloud = directory();
    let token = cloud.oidc_token(SUBJECT, now(), HOUR);
    let mut signer = Signer::from(&credentials(&handle(&cloud, &with_oidc(&token, &[], now()))));
    for role in [HOP_ROLE, PULL_ROLE] {
        signer = Signer::from(&credentials(&handle(&cloud, &assume_role(&signer, role, &[], now()))));
    }
    let call = signer.acs3(STS, ("GetCallerIdentity", VERSION), &[], now());
    let (_, body) = json(&handle(&cloud, &call));
    assert_eq!(body["Arn"], "acs:ram::222222222222:assumed-role/acr-pull/node-1");
    assert_eq!(body["AccountId"], "222222222222");
}

#[test]
fn either_accounts_refusal_looks_the_same() {
    let cloud = directory();
    let signer = user(&cloud, USER_A);
    let call = || assume_role(&signer, PULL_ROLE, &[], now());
    cloud.edit_role(PULL_ROLE, |role| role.trust.clear());
    let mistrusted = json(&handle(&cloud, &call()));
    let cloud_b = directory();
    cloud_b.remove_permission(USER_A, "sts:AssumeRole");
    let unauthorised = handle(&cloud_b, &assume_role(&user(&cloud_b, USER_A), PULL_ROLE, &[], now()));
    assert_eq!(refusal(&unauthorised), (403, "NoPermission".to_owned()));
    assert_eq!(mistrusted.0, unauthorised.status());
    assert_eq!(mistrusted.1["Message"], json(&unauthorised).1["Message"]);
}

#[test]
fn an_account_itself_assumes_no_role() {
    let cloud = directory();
    let root = Signer::from(&cloud.add_root_key(crate::ram::setup::ACCOUNT_A));
    let answer = handle(&cloud, &assume_role(&root, PULL_ROLE, &[], now()));
    assert_eq!(refusal(&answer), (403, "NoPermission".to_owned()));
    assert_eq!(json(&answer).1["Message"], "Roles may not be assumed by root accounts.");
}

#[test]
fn wrong_parameters_are_named() {
    let cloud = directory();
    let signer = user(&cloud, USER_A);
    let long = format!(r#"{{"Version":"1","Statement":[],"x":"{}"}}"#, "x".repeat(2048));
    for (name, value, code) in [
        ("RoleArn", "acs:ram::2:user/acr-pull", "InvalidParameter.RoleArn"),
        ("RoleArn", "", "MissingParameter"),
        ("RoleSessionName", "n", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", "node 1", "InvalidParameter.RoleSessionName"),
        ("RoleSessionName", "", "MissingParameter"),
        ("DurationSeconds", "899", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "43201", "InvalidParameter.DurationSeconds"),
        ("DurationSeconds", "an hour", "InvalidParameter.DurationSeconds"),
        ("Policy", "{}", "InvalidParameter.PolicyGrammar"),
        ("Policy", &long, "InvalidParameter.PolicySize"),
        ("ExternalId", "x", "InvalidParameter"),
    ] {
        let mut parameters = vec![("RoleArn", PULL_ROLE), ("RoleSessionName", "node-1")];
        parameters.retain(|(other, _)| *other != name);
        parameters.push((name, value));
        let answer = handle(&cloud, &signer.acs3(STS, ("AssumeRole", VERSION), &parameters, now()));
        assert_eq!(refusal(&answer), (400, code.to_owned()), "{name}={value}");
    }
}

#[test]
fn the_longest_session_is_the_roles() {
    let cloud = directory();
    let signer = user(&cloud, USER_A);
    let call = || assume_role(&signer, PULL_ROLE, &[("DurationSeconds", "43200")], now());
    assert_eq!(credentials(&handle(&cloud, &call())).expiration, later(43_200));
    cloud.edit_role(PULL_ROLE, |role| role.max_session_duration = 3600);
    let answer = handle(&cloud, &call());
    assert_eq!(refusal(&answer), (400, "InvalidParameter.DurationSeconds".to_owned()));
    assert_eq!(json(&answer).1["Message"], "The Min/Max value of DurationSeconds is 15min/1hr.");
}

#[test]
fn a_role_that_demands_an_external_id_gets_it() {
    let cloud = directory();
    cloud.edit_role(PULL_ROLE, |role| role.external_id = Some("a/b=c+d".to_owned()));
    let signer = user(&cloud, USER_A);
    for (external_id, expected) in [(None, 403), (Some("other"), 403), (Some("a/b=c+d"), 200)] {
        let more: Vec<_> = external_id.map(|id| ("ExternalId", id)).into_iter().collect();
        let answer = handle(&cloud, &assume_role(&signer, PULL_ROLE, &more, now()));
        assert_eq!(answer.status(), expected, "{external_id:?}");
    }
}

#[test]
fn a_role_that_does_not_exist_is_said_not_to() {
    let cloud = directory();
    let call = assume_role(&user(&cloud, USER_A), "acs:ram::222222222222:role/acr-pul", &[], now());
    assert_eq!(refusal(&handle(&cloud, &call)), (404, "EntityNotExist.Role".to_owned()));
}

#[test]
fn what_is_wrong_with_a_signature_is_told_apart() {
    let cloud = directory();
    let (good, session) = (user(&cloud, USER_A), pull_session(&cloud, 900, &[]));
    let session = Signer::from(&session);
    let with = |token: Option<&str>| Signer { security_token: token.map(str::to_owned), ..session.clone() };
    let other = Signer::from(&pull_session(&cloud, 900, &[]));
    for (signer, status, code) in [
        (Signer { secret: "wrong".to_owned(), ..good.clone() }, 400, "SignatureDoesNotMatch"),
        (Signer { access_key_id: "LTAI5tnobody".to_owned(), ..good.clone() }, 404, "InvalidAccessKeyId.NotFound"),
        (with(None), 400, "MissingSecurityToken"),
        (with(Some("CAISgarbage")), 400, "InvalidSecurityToken.Malformed"),
        (with(other.security_token.as_deref()), 400, "InvalidSecurityToken.MismatchWithAccessKey"),
    ] {
        let answer = handle(&cloud, &assume_role(&signer, PULL_ROLE, &[], now()));
        assert_eq!(refusal(&answer), (status, code.to_owned()));
    }
    let ended = handle(&cloud, &assume_role(&session, PULL_ROLE, &[], later(900)));
    assert_eq!(refusal(&ended), (400, "InvalidSecurityToken.Expired".to_owned()));
}

#[test]
fn a_request_cannot_be_sent_twice_or_late() {
    let cloud = directory();
    let call = assume_role(&user(&cloud, USER_A), PULL_ROLE, &[], now());
    assert_eq!(handle(&cloud, &call).status(), 200);
    assert_eq!(refusal(&handle(&cloud, &call)), (400, "SignatureNonceUsed".to_owned()));
    let late = Call { now: later(901), ..assume_role(&user(&cloud, USER_A), PULL_ROLE, &[], now()) };
    assert_eq!(refusal(&handle(&cloud, &late)), (400, "InvalidTimeStamp.Expired".to_owned()));
}

#[test]
fn a_disabled_key_and_a_deleted_one_are_refused_differently() {
    let cloud = directory();
    let old = cloud.access_key(USER_B).unwrap();
    cloud.disable_key(&old.id);
    let call = || assume_role(&Signer::from(&old), PULL_ROLE, &[], now());
    assert_eq!(refusal(&handle(&cloud, &call())), (400, "InvalidAccessKeyId.Inactive".to_owned()));
    let new = cloud.rotate_key(USER_B);
    assert_eq!(refusal(&handle(&cloud, &call())), (404, "InvalidAccessKeyId.NotFound".to_owned()));
    assert_eq!(handle(&cloud, &assume_role(&Signer::from(&new), PULL_ROLE, &[], now())).status(), 200);
}

#[test]
fn deleting_a_role_ends_its_sessions() {
    let cloud = directory();
    let session = pull_session(&cloud, 900, &[]);
    cloud.delete_role(PULL_ROLE);
    let call = Signer::from(&session).acs3(STS, ("GetCallerIdentity", VERSION), &[], now());
    assert_eq!(refusal(&handle(&cloud, &call)), (404, "InvalidAccessKeyId.NotFound".to_owned()));
}

#[test]
fn a_service_account_token_is_exchanged() {
    let cloud = directory();
    let token = cloud.oidc_token(SUBJECT, now(), HOUR);
    let answer = handle(&cloud, &with_oidc(&token, &[("DurationSeconds", "900")], now()));
    assert_eq!(credentials(&answer).expiration, later(900));
    let info = &json(&answer).1["OIDCTokenInfo"];
    assert_eq!((&info["Subject"], &info["ClientIds"]), (&SUBJECT.into(), &"sts.aliyuncs.com".into()));
    assert_eq!(info["ExpirationTime"], "2026-01-02T04:04:05Z");
}

#[test]
fn each_fault_of_a_token_has_its_code() {
    let cloud = directory();
    let signed = |name: &str, value: Value| {
        let mut claims = cloud.oidc_claims(SUBJECT, now(), HOUR);
        claims[name] = value;
        cloud.sign_oidc_token(&claims)
    };
    let foreign = crate::jwt::SigningKey::generate().sign(&cloud.oidc_claims(SUBJECT, now(), HOUR));
    for (token, code) in [
        (signed("iss", "https://kubernetes.default.svc".into()), "OIDCToken.IssuerNotMatch"),
        (signed("aud", "kubernetes".into()), "OIDCToken.AudienceNotMatch"),
        (signed("exp", now().as_second().into()), "OIDCToken.Expired"),
        (signed("exp", Value::Null), "OIDCToken.Expired"),
        (signed("sub", "system:serviceaccount:default:other".into()), "NoPermission"),
        (foreign, "OIDCToken.Invalid"),
        ("garbage".to_owned(), "OIDCToken.Invalid"),
    ] {
        let (status, found) = refusal(&handle(&cloud, &with_oidc(&token, &[], now())));
        assert_eq!(found, format!("AuthenticationFail.{code}"));
        assert!((400..500).contains(&status));
    }
}

#[test]
fn a_broken_provider_is_reported() {
    let cloud = directory();
    let token = cloud.oidc_token(SUBJECT, now(), HOUR);
    for (health, code) in [
        (ProviderHealth::FingerprintOutdated, "PublicKeyFingerprintMismatch"),
        (ProviderHealth::ConfigurationBroken, "IssuerConfigurationBroken"),
    ] {
        cloud.set_provider_health(OIDC_PROVIDER, health);
        let (_, found) = refusal(&handle(&cloud, &with_oidc(&token, &[], now())));
        assert_eq!(found, format!("AuthenticationFail.OIDCToken.{code}"));
    }
}

#[test]
fn an_exchange_needs_its_parameters_and_its_own_account() {
    let cloud = directory();
    let token = cloud.oidc_token(SUBJECT, now(), HOUR);
    let unknown = "acs:ram::111111111111:oidc-provider/other";
    for (name, value, code) in [
        ("Timestamp", "", "MissingParameter"),
        ("Timestamp", "yesterday", "InvalidTimeStamp.Format"),
        ("Timestamp", "2026-01-02T02:04:05Z", "InvalidTimeStamp.Expired"),
        ("RoleSessionName", "", "MissingParameter"),
        ("OIDCToken", "abc", "InvalidParameter"),
        ("OIDCProviderArn", unknown, "AuthenticationFail.NoPermission"),
        ("RoleArn", PULL_ROLE, "AuthenticationFail.NoPermission"),
        ("RoleArn", WORKER_ROLE, "AuthenticationFail.NoPermission"),
        ("RoleArn", "acs:ram::111111111111:role/none", "EntityNotExist.Role"),
        ("DurationSeconds", "3601", "InvalidParameter.DurationSeconds"),
        ("Version", "2014-01-01", "InvalidVersion"),
        ("Action", "AssumeRoleWithSAML", "InvalidAction.NotFound"),
    ] {
        let answer = handle(&cloud, &with_oidc(&token, &[(name, value)], now()));
        assert_eq!(refusal(&answer).1, code, "{name}={value}");
    }
}

#[test]
fn a_session_policy_narrows_the_role() {
    let cloud = directory();
    cloud.add_permission(CLUSTER_ROLE, &Policy::allow(&["cr:*"], "*"));
    let token = cloud.oidc_token(SUBJECT, now(), HOUR);
    let policy = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cr:*","Resource":"*"}]}"#;
    let narrowed = credentials(&handle(&cloud, &with_oidc(&token, &[("Policy", policy)], now())));
    let answer = handle(&cloud, &assume_role(&Signer::from(&narrowed), PULL_ROLE, &[], now()));
    assert_eq!(refusal(&answer), (403, "NoPermission".to_owned()));
}

#[test]
fn xml_is_what_one_gets_without_asking_for_json() {
    let cloud = directory();
    let mut call = assume_role(&user(&cloud, USER_A), PULL_ROLE, &[], now());
    put(&mut call, "accept", "*/*");
    let answer = handle(&cloud, &call);
    let text = String::from_utf8(answer.body().to_vec()).unwrap();
    assert!(text.contains("<AssumeRoleResponse>") && text.contains("<SecurityToken>"), "{}", answer.status());
}

#[test]
fn nothing_signed_is_incomplete() {
    let parameters = [("Action", "AssumeRole"), ("Version", VERSION), ("Format", "JSON")];
    let call = unsigned(Method::GET, STS, "/", &parameters, now());
    assert_eq!(refusal(&handle(&directory(), &call)), (400, "IncompleteSignature".to_owned()));
}

#[test]
fn every_secret_is_on_the_list() {
    let cloud = directory();
    let session = pull_session(&cloud, 900, &[]);
    let secrets = cloud.issued_secrets();
    let key = cloud.access_key(USER_B).unwrap();
    for secret in [&session.access_key_secret, &session.security_token, &key.secret] {
        assert!(secrets.contains(secret));
        assert!(!format!("{cloud:?} {session:?} {key:?}").contains(secret.as_str()));
    }
    assert!(secrets.iter().any(|secret| secret.starts_with("eyJ")), "the token of the service account");
}
