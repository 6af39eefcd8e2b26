use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::status::{
    ConfigStatus, ContainerdStatus, DomainStatus, ErrorStatus, FindingStatus, HopStatus, InstanceStatus, Moment,
    PullStatus, Status,
};
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
    of(picture(ready, instance_ready))
}

fn picture(ready: bool, instance_ready: bool) -> Status {
    let error = ErrorStatus {
        hop: "assume_role".into(),
        text: "AssumeRole was refused: <NoPermission>".into(),
        who: "account A or B",
        cause: "one of two halves is missing",
        advice: Some("allow it".into()),
        request_id: None,
        at: moment("2026-01-02T03:10:00Z"),
    };
    let hop = HopStatus {
        hop: "assume_role".into(),
        name: "acs:ram::222222222222:role/acr-pull".into(),
        issued: Some(moment("2026-01-02T03:04:05Z")),
        note: None,
        expires: Some(moment("2026-01-02T04:04:05Z")),
        failing: !instance_ready,
    };
    Status {
        version: "0.1.0".into(),
        commit: "abc".into(),
        now: moment("2026-01-02T03:49:05Z"),
        started: moment("2026-01-02T03:04:05Z"),
        listen: "127.0.0.1:7080".into(),
        ready,
        clock_skew_seconds: 0.0,
        config: ConfigStatus { source: None, read: moment("2026-01-02T03:04:05Z"), refused: Vec::new() },
        instances: vec![InstanceStatus {
            id: "cri-1".into(),
            domains: vec!["a.example.com".into()],
            ready: instance_ready,
            role: "acs:ram::222222222222:role/acr-pull".into(),
            hops: vec![hop],
            last_error: (!instance_ready).then_some(error),
            last_pull: None,
        }],
        recent_pulls: Vec::new(),
        containerd: None,
    }
}

fn of(status: Status) -> Admin {
    Admin::new(Metrics::new(), Arc::new(Fixed(Mutex::new(status))))
}

fn moment(text: &str) -> Moment {
    Moment(text.parse().unwrap())
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

const MARKUP: &str = "<script>alert('x')</script>\"";

#[tokio::test]
async fn nothing_that_anybody_else_wrote_becomes_markup() {
    let mut status = picture(true, false);
    let instance = &mut status.instances[0];
    instance.id = MARKUP.into();
    instance.domains = vec![MARKUP.into()];
    instance.hops[0].name = MARKUP.into();
    instance.hops[0].note = Some(MARKUP.into());
    let error = instance.last_error.as_mut().unwrap();
    (error.text, error.advice, error.request_id) = (MARKUP.into(), Some(MARKUP.into()), Some(MARKUP.into()));
    status.config = ConfigStatus { source: Some(MARKUP.into()), refused: vec![MARKUP.into()], ..status.config };
    status.recent_pulls = vec![PullStatus {
        at: status.now,
        instance: MARKUP.into(),
        kind: "blob",
        method: "GET",
        repository: MARKUP.into(),
        reference: MARKUP.into(),
        digest: Some(format!("{MARKUP}2")),
        status: 403,
        bytes: 0,
        seconds: 0.1,
        resumes: 0,
        from_memory: false,
        outcome: "refused",
        request_id: MARKUP.into(),
    }];
    status.containerd = Some(ContainerdStatus {
        certs_dir: Some(MARKUP.into()),
        domains: vec![DomainStatus {
            domain: MARKUP.into(),
            state: MARKUP.into(),
            good: false,
            fix: Some(MARKUP.into()),
        }],
        findings: vec![FindingStatus { text: MARKUP.into(), fix: MARKUP.into(), mild: false }],
        unseen: None,
    });
    let (_, page) = ask(&of(status), Method::GET, "/").await;
    assert!(!page.contains("<script") && !page.contains("\"&quot;"), "{page}");
    let shown = page.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;").count();
    assert_eq!(shown, 19, "every one of them is shown: {page}");
}

#[tokio::test]
async fn the_page_allows_itself_its_style_and_nothing_else() {
    let response = admin(true).answer(&Method::GET, "/");
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let (_, page) = ask(&admin(true), Method::GET, "/").await;
    for forbidden in ["style=", "<script", "src=", "http://", "https://", "@import", "url("] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
}

#[tokio::test]
async fn the_life_left_is_told_in_words_and_in_the_length_of_a_bar() {
    let page_with = |expires: Option<&str>, issued: Option<&str>| {
        let mut status = picture(true, true);
        let hop = &mut status.instances[0].hops[0];
        (hop.expires, hop.issued) = (expires.map(moment), issued.map(moment));
        async move { ask(&of(status), Method::GET, "/").await.1 }
    };
    let page = page_with(Some("2026-01-02T04:19:05Z"), Some("2026-01-02T03:19:05Z")).await;
    assert!(page.contains(">30 min of 1 h left</time>") && page.contains(r#"width="50.0""#), "{page}");
    let page = page_with(Some("2026-01-02T03:54:05Z"), Some("2026-01-02T02:54:05Z")).await;
    assert!(page.contains("5 min of 1 h left") && page.contains("its renewal is overdue"), "{page}");
    let page = page_with(Some("2026-01-02T03:48:05Z"), Some("2026-01-02T02:48:05Z")).await;
    assert!(page.contains("✗ Expired") && page.contains(">1 min ago</time>"), "{page}");
    let page = page_with(None, Some("2026-01-02T03:48:05Z")).await;
    assert!(page.contains("Does not expire"), "{page}");
    let page = page_with(None, None).await;
    assert!(page.contains("Nothing is held"), "{page}");
}

#[tokio::test]
async fn a_clock_that_is_off_and_a_login_that_is_not_renewed_are_told_from_a_failure() {
    let mut status = picture(true, true);
    status.clock_skew_seconds = -412.0;
    status.instances[0].last_error = picture(true, false).instances[0].last_error.clone();
    let (_, page) = ask(&of(status), Method::GET, "/").await;
    assert!(page.contains("412 s behind the cloud") && page.contains("Renewing fails; pulls still work"), "{page}");
    let (_, page) = ask(&of(picture(false, false)), Method::GET, "/").await;
    assert!(page.contains("agrees with the cloud") && page.contains("Pulls fail"), "{page}");
}

#[tokio::test]
async fn a_silent_crowd_keeps_no_probe_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(super::serve(admin(true), listener));
    let mut crowd = Vec::new();
    // Far more than there are places.
    for number in 0..200 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all([&b""[..], b"GET /live", b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"][number % 3]).await.ok();
        crowd.push(stream);
    }
    let probing = async {
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        probe.read_to_string(&mut answer).await.unwrap();
        answer
    };
    // A probe of the kubelet waits for a second.
    let answer = timeout(Duration::from_secs(1), probing).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    serving.abort();
}
