use std::sync::{Arc, Mutex};

use http::{Method, StatusCode};
use http_body_util::BodyExt;

use super::status::{ConfigStatus, ErrorStatus, HopStatus, InstanceStatus, Status};
use super::{Admin, Report};
use crate::telemetry::metrics::Metrics;

#[derive(Debug)]
struct Fixed(Mutex<Status>);

impl Report for Fixed {
    fn status(&self) -> Status {
        self.0.lock().unwrap().clone()
    }

    fn measure(&self, metrics: &Metrics) {
        metrics.clock_skew(7.0);
    }
}

fn admin(instance_ready: bool) -> Admin {
    told(instance_ready, instance_ready)
}

fn told(ready: bool, instance_ready: bool) -> Admin {
    let error = ErrorStatus {
        hop: "assume_role".into(),
        text: "AssumeRole was refused: <NoPermission>".into(),
        advice: Some("allow it".into()),
        request_id: None,
        at: "2026-01-02T03:10:00Z".into(),
    };
    let hop = HopStatus {
        hop: "assume_role".into(),
        name: "acs:ram::222222222222:role/acr-pull".into(),
        issued: None,
        note: None,
        expires: Some("2026-01-02T04:04:05Z".into()),
    };
    let status = Status {
        version: "0.1.0".into(),
        commit: "abc".into(),
        started: "2026-01-02T03:04:05Z".into(),
        listen: "127.0.0.1:7080".into(),
        ready,
        clock_skew_seconds: 0.0,
        config: ConfigStatus { source: None, read: "2026-01-02T03:04:05Z".into(), refused: Vec::new() },
        instances: vec![InstanceStatus {
            id: "cri-1".into(),
            domains: vec!["a.example.com".into()],
            ready: instance_ready,
            hops: vec![hop],
            last_error: (!instance_ready).then_some(error),
            last_pull: None,
        }],
    };
    Admin::new(Metrics::new(), Arc::new(Fixed(Mutex::new(status))))
}

#[expect(clippy::disallowed_methods, reason = "the body is in memory")]
async fn ask(admin: &Admin, method: Method, path: &str) -> (StatusCode, String) {
    let (head, body) = admin.answer(&method, path).into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn alive_whatever_happens_and_ready_only_when_pulls_may_come() {
    for ready in [false, true] {
        let admin = told(ready, true);
        assert_eq!(ask(&admin, Method::GET, "/livez").await.0, StatusCode::OK);
        assert_eq!(ask(&admin, Method::GET, "/healthz").await.0, StatusCode::OK);
        let (status, text) = ask(&admin, Method::GET, "/readyz").await;
        let expected =
            if ready { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "starting or ending\n") };
        assert_eq!((status, text.as_str()), expected);
    }
}

#[tokio::test]
async fn an_instance_without_a_login_is_named_with_its_reason() {
    let admin = admin(false);
    let (status, text) = ask(&admin, Method::GET, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "cri-1: AssumeRole was refused: <NoPermission>\n");
}

#[tokio::test]
async fn the_status_is_json_and_the_page_escapes_what_the_cloud_said() {
    let admin = admin(false);
    let (_, text) = ask(&admin, Method::GET, "/status").await;
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status["instances"][0]["hops"][0]["expires"], "2026-01-02T04:04:05Z");
    assert_eq!(status["instances"][0]["lastError"]["hop"], "assume_role");
    let (_, page) = ask(&admin, Method::GET, "/").await;
    assert!(page.contains("&lt;NoPermission&gt;") && !page.contains("<NoPermission>"), "{page}");
}

#[tokio::test]
async fn gauges_are_measured_when_somebody_looks() {
    let admin = admin(true);
    let (_, text) = ask(&admin, Method::GET, "/metrics").await;
    assert!(text.contains("acr_pull_proxy_clock_skew_seconds 7"), "{text}");
}

#[tokio::test]
async fn nothing_can_be_changed() {
    let admin = admin(true);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        assert_eq!(ask(&admin, method, "/status").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(ask(&admin, Method::GET, "/debug").await.0, StatusCode::NOT_FOUND);
}
