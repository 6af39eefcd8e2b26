//! Container Registry as the daemon meets it: logins with the rights and the end of whoever asks.

use super::*;
use crate::ram::setup::{self, INSTANCE, PULL_ROLE, USER_A, USER_B, directory};
use crate::sign::signer::{Signer, put, unsigned};
use crate::testing::{json, later, now, pull_session, refusal, user};

const CR: &str = "cr-vpc.cn-hangzhou.aliyuncs.com";
const LOGIN: (&str, &str) = ("GetAuthorizationToken", ENTERPRISE);

fn ask_for_login(signer: &Signer) -> Call {
    signer.acs3(CR, LOGIN, &[("InstanceId", INSTANCE)], now())
}

/// User and password of a successful answer.
#[track_caller]
fn login(answer: &Answer) -> (String, String) {
    let (status, body) = json(answer);
    assert_eq!(
        (status, &body["Code"], &body["IsSuccess"]),
        (StatusCode::OK, &"success".into(), &true.into()),
        "{body}"
    );
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("TempUsername"), text("AuthorizationToken"))
}

#[test]
fn a_login_dies_with_the_session_that_asked_for_it() {
    let cloud = directory();
    let session = pull_session(&cloud, 900, &[]);
    let answer = handle(&cloud, &ask_for_login(&Signer::from(&session)));
    assert_eq!(json(&answer).1["ExpireTime"], later(900).as_millisecond());
    let (user, password) = login(&answer);
    assert!(password.contains(':'));
    assert!(cloud.issued_secrets().contains(&password));

    let login = cloud.login(&user, &password, later(899)).unwrap();
    assert_eq!((login.instance_id.as_deref(), login.can_pull), (Some(INSTANCE), true));
    assert!(login.may_pull("team/app"));
    assert!(cloud.login(&user, &password, later(900)).is_none());
    assert!(cloud.login("temp_user_cr", &password, now()).is_none());
    assert!(cloud.login(&user, &format!("{password}0"), now()).is_none());
}

#[test]
fn a_login_of_a_long_term_key_lasts_an_hour() {
    let cloud = directory();
    let answer = handle(&cloud, &ask_for_login(&user(&cloud, USER_B)));
    assert_eq!(json(&answer).1["ExpireTime"], later(3600).as_millisecond());
    let (user, password) = login(&answer);
    assert!(cloud.login(&user, &password, now()).is_some());
    cloud.rotate_key(USER_B);
    assert!(cloud.login(&user, &password, now()).is_none(), "the login outlived its key");
}

#[test]
fn hours_asked_for_do_not_outlive_the_session() {
    let cloud = directory();
    let signer = Signer::from(&pull_session(&cloud, 7200, &[]));
    for (hours, expected) in [("1", later(3600)), ("24", later(7200))] {
        let parameters = [("InstanceId", INSTANCE), ("ExpiresInHours", hours)];
        let answer = handle(&cloud, &signer.acs3(CR, LOGIN, &parameters, now()));
        assert_eq!(json(&answer).1["ExpireTime"], expected.as_millisecond());
    }
    let answer = handle(&cloud, &signer.acs3(CR, LOGIN, &[("InstanceId", INSTANCE), ("ExpiresInHours", "25")], now()));
    assert_eq!(refusal(&answer), (400, "InvalidParameter".to_owned()));
}

#[test]
fn a_missing_right_to_pull_shows_only_at_the_login() {
    let cloud = directory();
    cloud.remove_permission(PULL_ROLE, "cr:PullRepository");
    let (user, password) = login(&handle(&cloud, &ask_for_login(&Signer::from(&pull_session(&cloud, 900, &[])))));
    let login = cloud.login(&user, &password, now()).unwrap();
    assert!(!login.can_pull && !login.may_pull("team/app"));
}

#[test]
fn a_session_policy_holds_for_the_login_too() {
    let cloud = directory();
    let policy = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"cr:GetAuthorizationToken","Resource":"*"}},
            {{"Effect":"Allow","Action":"cr:PullRepository","Resource":"acs:cr:*:*:repository/{INSTANCE}/team/*"}}]}}"#
    );
    let session = Signer::from(&pull_session(&cloud, 900, &[("Policy", &policy)]));
    let (user, password) = login(&handle(&cloud, &ask_for_login(&session)));
    let login = cloud.login(&user, &password, now()).unwrap();
    assert!(login.can_pull && login.may_pull("team/app") && !login.may_pull("base/app"));
    let call = session.acs3(CR, ("ListInstanceEndpoint", ENTERPRISE), &[("InstanceId", INSTANCE)], now());
    assert_eq!(refusal(&handle(&cloud, &call)), (403, "NoPrivilege".to_owned()));
}

#[test]
fn revoking_ends_logins_at_once() {
    let cloud = directory();
    let ask = || login(&handle(&cloud, &ask_for_login(&Signer::from(&pull_session(&cloud, 900, &[])))));
    let (user, password) = ask();
    cloud.revoke_logins(Some(INSTANCE));
    assert!(cloud.login(&user, &password, now()).is_none());
    let (user, password) = ask();
    cloud.revoke_sessions(PULL_ROLE);
    assert!(cloud.login(&user, &password, now()).is_none());
}

#[test]
fn the_endpoints_name_every_domain() {
    let cloud = directory();
    let signer = user(&cloud, USER_B);
    let list = |more: &[(&str, &str)]| {
        let mut parameters = vec![("InstanceId", INSTANCE)];
        parameters.extend(more);
        let call = signer.acs3(CR, ("ListInstanceEndpoint", ENTERPRISE), &parameters, now());
        json(&handle(&cloud, &call)).1["Endpoints"].clone()
    };
    let endpoints = list(&[("ModuleName", "Registry")]);
    assert_eq!(endpoints[0]["Domains"][0]["Domain"], "demo-registry.cn-hangzhou.cr.aliyuncs.com");
    assert_eq!(endpoints[0]["Domains"][1]["Type"], "USER");
    assert_eq!(endpoints[1]["Domains"][0]["Domain"], "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com");
    assert_eq!(list(&[("ModuleName", "Chart")]).as_array().map(Vec::len), Some(0));
}

#[test]
fn an_instance_is_known_in_its_region_and_to_its_account_only() {
    let cloud = directory();
    cloud.add_permission(USER_A, &crate::ram::Policy::allow(&["cr:*"], "*"));
    let (a, b) = (user(&cloud, USER_A), user(&cloud, USER_B));
    for (signer, host, id) in
        [(&b, CR, "cri-unknown"), (&b, "cr.cn-shanghai.aliyuncs.com", INSTANCE), (&a, CR, INSTANCE)]
    {
        let answer = handle(&cloud, &signer.acs3(host, LOGIN, &[("InstanceId", id)], now()));
        let (status, body) = json(&answer);
        assert_eq!((status, &body["IsSuccess"]), (StatusCode::OK, &false.into()), "{host} {id}");
        assert_eq!(body["Code"], "INSTANCE_NOT_EXIST");
    }
}

#[test]
fn a_missing_right_is_no_privilege() {
    let cloud = directory();
    cloud.remove_permission(USER_B, "cr:GetAuthorizationToken");
    assert_eq!(refusal(&handle(&cloud, &ask_for_login(&user(&cloud, USER_B)))), (403, "NoPrivilege".to_owned()));
}

#[test]
fn calls_the_api_does_not_have_are_refused() {
    let cloud = directory();
    let signer = user(&cloud, USER_B);
    for (host, call, code) in [
        (CR, ("GetInstance", ENTERPRISE), "InvalidAction.NotFound"),
        (CR, ("GetAuthorizationToken", PERSONAL), "InvalidVersion"),
        (CR, LOGIN, "MissingParameter"),
        ("registry.cn-hangzhou.aliyuncs.com", LOGIN, "InvalidApi.NotFound"),
    ] {
        assert_eq!(refusal(&handle(&cloud, &signer.acs3(host, call, &[], now()))).1, code);
    }
    let bare = unsigned(Method::GET, CR, "/", &[("Format", "JSON")], now());
    assert_eq!(refusal(&handle(&cloud, &bare)).1, "IncompleteSignature");
}

#[test]
fn the_first_signature_version_works_here_too() {
    let cloud = directory();
    let parameters = [("Action", "GetAuthorizationToken"), ("Version", ENTERPRISE), ("InstanceId", INSTANCE)];
    let call = Signer::from(&pull_session(&cloud, 900, &[])).rpc_v1(CR, &parameters, false, now());
    login(&handle(&cloud, &call));
}

#[test]
fn personal_edition_gives_tokens_to_both_schemes() {
    let cloud = directory();
    let signer = Signer::from(&pull_session(&cloud, 900, &[]));
    let mut third = unsigned(Method::GET, "cr.cn-hangzhou.aliyuncs.com", TOKENS, &[], now());
    signer.sign_acs3(&mut third, "GetAuthorizationToken", PERSONAL);
    let first = signer.roa_v1("cr.cn-hangzhou.aliyuncs.com", TOKENS, PERSONAL, now());
    for call in [third, first] {
        let (status, body) = json(&handle(&cloud, &call));
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["data"]["expireDate"], later(900).as_millisecond());
        let text = |name: &str| body["data"][name].as_str().unwrap();
        let login = cloud.login(text("tempUserName"), text("authorizationToken"), now()).unwrap();
        assert_eq!((login.instance_id, login.region.as_str()), (None, setup::REGION));
    }
}

#[test]
fn personal_edition_refuses_in_lower_camel_case() {
    let cloud = directory();
    let signer = user(&cloud, USER_B);
    let elsewhere = signer.roa_v1("cr.cn-shanghai.aliyuncs.com", TOKENS, PERSONAL, now());
    let (status, body) = json(&handle(&cloud, &elsewhere));
    assert_eq!((status, &body["code"]), (StatusCode::NOT_FOUND, &"USER_NOT_EXIST".into()));
    assert!(body["requestId"].is_string());

    let mut changed = signer.roa_v1(CR, TOKENS, PERSONAL, now());
    put(&mut changed, "accept", "text/plain");
    assert_eq!(json(&handle(&cloud, &changed)).1["code"], "SignatureDoesNotMatch");
}
