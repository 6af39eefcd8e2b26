//! `credential-provider`, run as the kubelet runs it: from a running daemon, and where none is running.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::client::Mirror;
use crate::support::daemon::Daemon;
use crate::support::node::get;
use crate::support::program::Place;
use crate::support::{DOMAIN, LIMIT, Node, POLL, REPOSITORY, TAG};

/// How long `expireDuration` of the test configurations is, in seconds.
const LIFE: u64 = 3600;

/// How long a login must be good after the kubelet has forgotten it.
const MARGIN: u64 = 600;

/// What starting and asking may take of that life.
const SLACK: u64 = 120;

fn image() -> String {
    format!("{DOMAIN}/{REPOSITORY}:{TAG}")
}

async fn cloud() -> CloudSim {
    let cloud = CloudSim::start().await.unwrap();
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(1, 1024, 4)).unwrap();
    cloud
}

/// A daemon that hands logins out at `place`.
async fn node(cloud: CloudSim, place: &Place, config: &str) -> Node {
    let socket = place.arguments();
    let arguments = ["--log-level", "trace", &socket[0], &socket[1]];
    let daemon = Daemon::with(config, &arguments).await;
    let mirror = Mirror::at(daemon.listen);
    Node { cloud, image: Image::random(1, 1024, 4), daemon, mirror }
}

fn response(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let response: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(response["apiVersion"], "credentialprovider.kubelet.k8s.io/v1");
    assert_eq!(response["kind"], "CredentialProviderResponse");
    response
}

/// Fails the test unless there is exactly this key, with a login that the realm takes.
fn expect_login(response: &Value, cloud: &CloudSim, key: &str) {
    let auth = response["auth"].as_object().unwrap();
    assert_eq!(auth.keys().collect::<Vec<_>>(), [key]);
    let field = |name: &str| auth[key][name].as_str().unwrap();
    assert!(cloud.directory().login(field("username"), field("password"), cloud.clock().now()).is_some());
    let kept: u64 = response["cacheDuration"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    assert!((LIFE - MARGIN - SLACK..=LIFE - MARGIN).contains(&kept), "{kept}");
}

fn expect_none(response: &Value) {
    assert_eq!((&response["auth"], &response["cacheDuration"]), (&json!({}), &json!("0s")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_gives_the_login_that_it_holds() {
    let (cloud, place) = (cloud().await, Place::new());
    let config = cloud.node_config(Method::Rrsa);
    let node = node(cloud, &place, &config).await;
    // No configuration here: the daemon says everything.
    let image = image();
    let (first, second, other) =
        tokio::join!(place.login_of(&image), place.login_of(&image), place.login_of("docker.io/library/busybox"));
    for output in [&first, &second] {
        assert_eq!(response(output)["cacheKeyType"], "Registry");
        expect_login(&response(output), &node.cloud, DOMAIN);
    }
    expect_none(&response(&other));
    node.mirror.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}?ns={DOMAIN}")).await.expect(200);
    assert_eq!(node.cloud.journal().count_action("GetAuthorizationToken"), 1, "pulls and the kubelet share a login");

    expect_login(&response(&place.login_of(&image).await), &node.cloud, DOMAIN);
    let (_, metrics) = get(node.daemon.admin, "/metrics").await;
    let hit = metrics.lines().find(|line| {
        line.starts_with("acr_pull_proxy_token_cache_requests_total")
            && line.contains("hop=\"authorization_token\"")
            && line.contains("result=\"hit\"")
            && line.contains(setup::INSTANCE)
    });
    assert!(hit.is_some_and(|line| !line.ends_with(" 0")), "{hit:?}");
    // The log is written a moment later.
    let told = async {
        while node.daemon.log().matches("a login was handed out").count() < 3 {
            sleep(POLL).await;
        }
    };
    timeout(LIMIT, told).await.unwrap();
    place.expect_nothing_written(&node.cloud.issued_secrets());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_same_chain_is_walked_with_every_method() {
    for method in Method::ALL {
        let (cloud, place) = (cloud().await, Place::new());
        place.configure(&cloud.node_config(method));
        let answer = response(&place.login_of(&image()).await);
        let auth = &answer["auth"][DOMAIN];
        let field = |name: &str| auth[name].as_str().unwrap_or_else(|| panic!("{method:?}: {answer}"));
        assert!(cloud.directory().login(field("username"), field("password"), cloud.clock().now()).is_some());
        place.expect_nothing_written(&cloud.issued_secrets());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_has_gone_is_not_missed() {
    let (cloud, place) = (cloud().await, Place::new());
    place.configure(&cloud.node_config(Method::Rrsa));
    let node = node(cloud, &place, &std::fs::read_to_string(place.config()).unwrap()).await;
    let Node { cloud, daemon, .. } = node;
    daemon.stop();
    assert!(place.socket().exists(), "a stale socket is what this is about");
    expect_login(&response(&place.login_of(&image()).await), &cloud, DOMAIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_registries_are_answered_without_a_word_to_the_cloud() {
    let (cloud, place) = (cloud().await, Place::new());
    place.configure(&cloud.node_config(Method::Rrsa));
    for image in ["busybox", "foreign.example.com:5000/team/app:v1", "[::1]:5000/app", &format!("{DOMAIN}:5000/app")] {
        expect_none(&response(&place.login_of(image).await));
    }
    assert_eq!(cloud.journal().entries().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_that_only_the_cloud_knows_are_asked_for() {
    let (cloud, place) = (cloud().await, Place::new());
    let config = cloud.node_config(Method::Rrsa);
    let unnamed: String =
        config.lines().filter(|line| !line.contains("domains:")).map(|line| format!("{line}\n")).collect();
    place.configure(&unnamed);
    expect_login(&response(&place.login_of(&image()).await), &cloud, DOMAIN);
    expect_none(&response(&place.login_of("foreign.example.com/app").await));

    // A daemon that does not know them yet says so, and is not waited for.
    let node = node(cloud, &place, &unnamed).await;
    expect_login(&response(&place.login_of(&image()).await), &node.cloud, DOMAIN);
    let learnt = async {
        while !get(node.daemon.admin, "/status").await.1.contains(DOMAIN) {
            sleep(POLL).await;
        }
    };
    timeout(LIMIT, learnt).await.unwrap();
    std::fs::remove_file(place.config()).unwrap();
    expect_login(&response(&place.login_of(&image()).await), &node.cloud, DOMAIN);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_that_may_not_be_pulled_get_no_login() {
    let (cloud, place) = (cloud().await, Place::new());
    let config = cloud.node_config(Method::Rrsa);
    let limited = config.replace("    expireDuration", "    repositories: [\"team/*\"]\n    expireDuration");
    let node = node(cloud, &place, &limited).await;
    let answer = response(&place.login_of(&image()).await);
    assert_eq!(answer["cacheKeyType"], "Image");
    expect_login(&answer, &node.cloud, &format!("{DOMAIN}/{REPOSITORY}"));
    expect_none(&response(&place.login_of(&format!("{DOMAIN}/other/app:v1")).await));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_one_line_that_says_what_to_do_and_no_secret() {
    let (cloud, place) = (cloud().await, Place::new());
    let config = cloud.node_config(Method::Rrsa);
    cloud.directory().remove_permission(setup::PULL_ROLE, "cr:GetAuthorizationToken");
    let expect_refusal = |output: &Output| {
        let told = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(setup::INSTANCE) && told.contains("GetAuthorizationToken"), "{told}");
        for secret in cloud.issued_secrets() {
            assert!(!told.contains(&secret));
        }
    };
    place.configure(&config);
    expect_refusal(&place.login_of(&image()).await);
    let socket = place.arguments();
    let daemon = Daemon::with(&config, &[&socket[0], &socket[1]]).await;
    std::fs::remove_file(place.config()).unwrap();
    expect_refusal(&place.login_of(&image()).await);
    daemon.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_exit_code_2() {
    let place = Place::new();
    let no_configuration = place.login_of(&image()).await;
    let beta = json!({"apiVersion": "credentialprovider.kubelet.k8s.io/v1beta1", "kind": "CredentialProviderRequest",
        "image": "a.b/c", "serviceAccountToken": "eyJ-a-token"});
    for output in [no_configuration, place.credential_provider(beta).await, place.credential_provider(json!("x")).await]
    {
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{told}");
        assert!(told.lines().count() == 1 && !told.contains("eyJ-a-token"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_root_the_daemon_refuses_other_users_whatever_the_socket_allows() {
    let (cloud, place) = (cloud().await, Place::new());
    let config = cloud.node_config(Method::Rrsa);
    let node = node(cloud, &place, &config).await;
    for (path, mode) in [(place.path().to_owned(), 0o755), (place.socket(), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let output = place.login_for_nobody(&image()).await;
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{told}");
    assert!(told.contains("user 65534 may not"), "{told}");
    expect_login(&response(&place.login_of(&image()).await), &node.cloud, DOMAIN);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_passes_is_waited_for() {
    use cloudsim::fault::{Effect, Fault};
    use cloudsim::journal::Service;

    let (cloud, place) = (cloud().await, Place::new());
    place.configure(&cloud.node_config(Method::Rrsa));
    cloud.fault(Fault::on(Service::Cr, Effect::answer(http::StatusCode::SERVICE_UNAVAILABLE, String::new())).times(2));
    let asked = timeout(Duration::from_secs(30), place.login_of(&image())).await.unwrap();
    expect_login(&response(&asked), &cloud, DOMAIN);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_the_kubelet_names_this_program_and_its_domains() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/credential-provider.yaml");
    let example: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        (&example["apiVersion"], &example["kind"]),
        (&json!("kubelet.config.k8s.io/v1"), &json!("CredentialProviderConfig"))
    );
    let provider = &example["providers"][0];
    assert_eq!(
        Path::new(env!("CARGO_BIN_EXE_acr-pull-proxy")).file_name().unwrap().to_str(),
        provider["name"].as_str()
    );
    assert_eq!(provider["args"], json!(["credential-provider"]));
    let (cloud, place) = (cloud().await, Place::new());
    place.configure(&cloud.node_config(Method::Rrsa));
    assert_eq!(response(&place.login_of("busybox").await)["apiVersion"], provider["apiVersion"]);
    let patterns: Vec<_> =
        provider["matchImages"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    for domain in [
        DOMAIN,
        "demo-registry.cn-hangzhou.cr.aliyuncs.com",
        "registry.cn-hangzhou.aliyuncs.com",
        "registry-vpc.cn-hangzhou.aliyuncs.com",
        "registry-internal.cn-hangzhou.aliyuncs.com",
    ] {
        assert!(patterns.iter().any(|pattern| matches_image(pattern, domain)), "{domain}");
    }
    assert!(!patterns.iter().any(|pattern| matches_image(pattern, "docker.io")));
}

/// `matchImages` as the kubelet's reference has it: as many parts, and a star for any text within a part.
fn matches_image(pattern: &str, domain: &str) -> bool {
    let part_matches = |(pattern, part): (&str, &str)| match pattern.split_once('*') {
        Some((before, after)) => part.starts_with(before) && part.ends_with(after),
        None => pattern == part,
    };
    pattern.split('.').count() == domain.split('.').count()
        && pattern.split('.').zip(domain.split('.')).all(part_matches)
}
