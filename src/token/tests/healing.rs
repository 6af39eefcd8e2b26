//! What heals by itself: revoked and expired values at every level, outages, throttling, a wrong clock.

use std::time::Duration;

use cloudsim::CloudSim;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use http::StatusCode;
use jiff::SignedDuration;

use super::node::{Node, params, ram_role, rrsa, scope};
use crate::credentials::plan::Base;
use crate::error::{Explain, Retry};
use crate::token::{ProvideBearer, TokenError};

#[tokio::test]
async fn a_refused_bearer_is_replaced_once_and_only_that_one() {
    let node = Node::usual().await;
    let old = node.bearer("team/app").await.unwrap();
    node.sim.revoke_bearers();
    let (status, challenge) = node.registry("team/app", &old).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    node.source.refused(&node.host, &scope("team/app"), &old, challenge.as_deref());
    node.pulls("team/app").await;
    node.source.refused(&node.host, &scope("team/app"), &old, challenge.as_deref());
    node.pulls("team/app").await;
    assert_eq!((node.bearer_calls(), node.calls("GetAuthorizationToken")), (2, 1));
}

#[tokio::test]
async fn a_challenge_whose_connection_is_closed_is_asked_for_again_at_once() {
    let node = Node::usual().await;
    node.sim.fault(Fault::on(Service::Registry, Effect::CloseBeforeHead).once());
    // A pull waits for more tries than this one load.
    assert!(node.source.realm(&node.host).await.is_ok());
}

#[tokio::test]
async fn a_revoked_login_heals_without_a_failed_pull() {
    let node = Node::usual().await;
    node.pulls("team/app").await;
    node.sim.directory().revoke_logins(Some(setup::INSTANCE));
    node.pulls("team/other").await;
    assert_eq!((node.calls("GetAuthorizationToken"), node.calls("AssumeRole")), (2, 1));
}

#[tokio::test]
async fn a_revoked_session_heals_without_a_failed_pull() {
    let node = Node::usual().await;
    node.pulls("team/app").await;
    node.sim.directory().revoke_sessions(setup::PULL_ROLE);
    node.pulls("team/other").await;
    assert_eq!((node.calls("AssumeRole"), node.calls("AssumeRoleWithOIDC")), (2, 1));
    node.sim.directory().revoke_sessions(setup::CLUSTER_ROLE);
    node.sim.directory().revoke_sessions(setup::PULL_ROLE);
    node.pulls("team/third").await;
    assert_eq!(node.calls("AssumeRoleWithOIDC"), 2);
}

#[tokio::test]
async fn a_rotated_key_heals_without_a_failed_pull() {
    let sim = CloudSim::start().await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let (id, secret) = (files.path().join("id"), files.path().join("secret"));
    let write = |key: cloudsim::ram::AccessKey| {
        std::fs::write(&id, key.id).unwrap();
        std::fs::write(&secret, key.secret).unwrap();
    };
    write(sim.directory().access_key(setup::USER_A).unwrap());
    let base = Base::AccessKeyFile { id: id.clone(), secret: secret.clone() };
    let node = Node::new(sim, params(base, &[setup::PULL_ROLE]));
    node.pulls("team/app").await;
    write(node.sim.directory().rotate_key(setup::USER_A));
    node.sim.directory().revoke_sessions(setup::PULL_ROLE);
    node.pulls("team/other").await;
}

#[tokio::test]
async fn an_outage_of_everything_above_the_login_is_not_noticed() {
    let node = Node::usual().await;
    node.pulls("team/app").await;
    for service in [Service::Sts, Service::Cr] {
        node.sim.fault(Fault::on(service, Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "")));
    }
    node.pulls("team/other").await;
    // Past the login's renewal, before its end.
    node.sim.clock().advance(SignedDuration::from_secs(3000));
    node.bearer("team/third").await.unwrap();
    node.bearer("team/fourth").await.unwrap();
    node.sim.journal().wait_for(|entries| entries.iter().any(|entry| entry.status == Some(503))).await;
    assert!(node.source.is_ready());
    node.pulls("team/fifth").await;
}

#[tokio::test]
async fn a_session_that_outlives_its_cloud_ends_with_the_reason() {
    let node = Node::usual().await;
    node.pulls("team/app").await;
    node.sim.fault(Fault::on(Service::Sts, Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "")));
    node.sim.clock().advance(SignedDuration::from_secs(3700));
    let error = node.bearer("team/other").await.unwrap_err();
    assert!(error.to_string().contains("answered 503"), "{error}");
    assert!(matches!(error.retry(), Retry::Later(_)));
}

#[tokio::test]
async fn a_bare_redirect_of_sts_is_throttling_and_passes() {
    let node = Node::usual().await;
    node.sim.fault(Fault::on(Service::Sts, Effect::Throttle302).once());
    node.pulls("team/app").await;
    let asked = node.sim.journal().of(Service::Sts);
    assert_eq!(asked.len(), 3, "the redirect was followed, or asked again more than once");
    let pause = asked[1].arrived.duration_since(asked[0].arrived);
    assert!(pause >= Duration::from_secs(2), "asked again after {pause:?}");
}

/// Check 23 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_clock_that_is_wrong_by_minutes_is_measured() {
    for minutes in [-10, 10] {
        let sim = CloudSim::start().await.unwrap();
        sim.clock().set_offset(SignedDuration::from_mins(minutes));
        sim.rotate_oidc_token().unwrap();
        let params = params(rrsa(&sim), &[setup::PULL_ROLE]);
        let node = Node::new(sim, params);
        node.pulls("team/app").await;
        let measured = node.clock.skew_seconds() / 60.0;
        #[expect(clippy::cast_precision_loss, reason = "ten minutes fit")]
        let expected = -(minutes as f64);
        assert!((measured - expected).abs() < 0.1, "{measured} min measured, {expected} min expected");
        let (_, expires) = node.source.hops().pop().unwrap().held.unwrap();
        let left = crate::clock::until(node.sim.clock().now(), expires);
        assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3605), "{left:?} left");
    }
}

/// Check 23 (`tests/it/peers.rs`).
#[tokio::test]
async fn a_clock_beyond_the_window_of_sts_is_set_right_by_the_refusal_itself() {
    for minutes in [-40, 40] {
        let sim = CloudSim::start().await.unwrap();
        sim.clock().set_offset(SignedDuration::from_mins(minutes));
        let node = Node::new(sim, params(ram_role(), &[setup::PULL_ROLE]));
        node.pulls("team/app").await;
        assert_eq!(node.calls("AssumeRole"), 2);
    }
}

#[tokio::test]
async fn a_new_challenge_is_learned_from_the_refusal_that_brings_it() {
    let node = Node::usual().await;
    let old = node.bearer("team/app").await.unwrap();
    node.sim.configure(|settings| settings.realm.host = cloudsim::settings::RealmHost::Enterprise);
    node.sim.revoke_bearers();
    let (_, challenge) = node.registry("team/app", &old).await;
    node.source.refused(&node.host, &scope("team/app"), &old, challenge.as_deref());
    node.pulls("team/app").await;
    let realms = node.sim.journal().of(Service::Realm);
    assert!(realms.last().unwrap().host.starts_with("dockerauth-ee"), "{}", realms.last().unwrap().host);
}

#[tokio::test]
async fn a_realm_that_refuses_every_login_is_not_asked_for_ever() {
    let node = Node::usual().await;
    node.sim.fault(Fault::on(Service::Realm, Effect::answer(StatusCode::UNAUTHORIZED, "")));
    for _ in 0..50 {
        let error = node.bearer("team/app").await.unwrap_err();
        assert!(matches!(*error, TokenError::LoginRefused { .. }), "{error}");
    }
    assert!(node.calls("GetAuthorizationToken") <= 3, "{} logins", node.calls("GetAuthorizationToken"));
    assert!(node.bearer_calls() <= 3, "{} bearer calls", node.bearer_calls());
}

#[tokio::test]
async fn a_throttled_realm_is_left_alone_while_other_bearers_live() {
    let node = Node::usual().await;
    node.pulls("team/app").await;
    node.sim.fault(Fault::on(Service::Realm, Effect::answer(StatusCode::TOO_MANY_REQUESTS, "")).once());
    let asked = tokio::time::Instant::now();
    let other = node.pulls("team/other");
    node.pulls("team/app").await;
    assert!(asked.elapsed() < Duration::from_secs(1), "one repository waited for another");
    other.await;
    assert!(asked.elapsed() >= Duration::from_secs(2), "a throttled realm was asked again at once");
}

#[tokio::test]
async fn a_fault_of_a_moment_at_any_hop_fails_no_cold_pull() {
    for service in [Service::Sts, Service::Cr, Service::Registry, Service::Realm] {
        for effect in [Effect::answer(StatusCode::SERVICE_UNAVAILABLE, "busy"), Effect::CloseBeforeHead] {
            let node = Node::usual().await;
            node.sim.fault(Fault::on(service, effect.clone()).once());
            assert!(node.bearer("team/app").await.is_ok(), "{service:?}: {effect:?}");
        }
    }
}

#[tokio::test]
async fn a_403_of_the_realm_that_says_expired_is_a_refused_login() {
    let node = Node::usual().await;
    node.pulls("team/app").await;
    node.sim.fault(Fault::on(Service::Realm, Effect::answer(StatusCode::FORBIDDEN, "the token has Expired")).once());
    node.pulls("team/other").await;
    assert_eq!(node.calls("GetAuthorizationToken"), 2);
    node.sim.fault(Fault::on(Service::Realm, Effect::answer(StatusCode::FORBIDDEN, "no")).once());
    let error = node.bearer("team/third").await.unwrap_err();
    assert_eq!((error.retry(), node.calls("GetAuthorizationToken")), (Retry::Never, 2), "{error}");
}

#[tokio::test]
async fn a_repository_that_the_realm_refuses_does_not_cost_the_others_their_login() {
    let node = Node::usual().await;
    node.pulls("team/app").await;
    let refusal = node.sim.fault(Fault::on(Service::Realm, Effect::answer(StatusCode::UNAUTHORIZED, "")));
    for _ in 0..3 {
        assert!(matches!(*node.bearer("team/bad").await.unwrap_err(), TokenError::LoginRefused { .. }));
        assert!(node.source.is_ready(), "the login is gone");
    }
    node.sim.faults().remove(refusal);
    node.pulls("team/other").await;
    assert_eq!(node.calls("GetAuthorizationToken"), 3);
}

#[tokio::test]
async fn a_node_that_slept_for_hours_wakes_up_without_a_failed_pull() {
    let node = Node::usual().await;
    let old = node.bearer("team/app").await.unwrap();
    // The monotonic clock stands still while a machine is suspended: to the daemon no time has passed.
    node.sim.clock().advance(SignedDuration::from_hours(6));
    node.sim.rotate_oidc_token().unwrap();
    let (status, challenge) = node.registry("team/app", &old).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    node.source.refused(&node.host, &scope("team/app"), &old, challenge.as_deref());
    node.pulls("team/app").await;
}
