//! `doctor`: what it says of a chain that works, and of each way in which one does not.

mod containerd;
mod daemon;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use cloudsim::Method;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use cloudsim::ram::{Role, setup};
use serde_json::Value;

use crate::support::{DOMAIN, Node, REPOSITORY, TAG, manifest};

/// A node whose daemon has its login.
async fn node(method: Method) -> Node {
    let node = Node::with_method(method).await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node
}

/// Runs it as an operator does on the node, with the daemon's own configuration and addresses.
async fn doctor(node: &Node, more: &[&str]) -> Output {
    doctor_at(node, node.daemon.listen, node.daemon.admin, more).await
}

/// The findings with another configuration than the daemon's.
async fn with_config(node: &Node, config: &Path) -> (bool, Vec<Value>) {
    read(node, &run(config, node.daemon.listen, node.daemon.admin, &["--output", "json"]).await)
}

async fn doctor_at(node: &Node, listen: SocketAddr, admin: SocketAddr, more: &[&str]) -> Output {
    run(&node.daemon.config_file(), listen, admin, more).await
}

/// With our entries where containerd would look for them, unless the test says where it looks.
async fn run(config: &Path, listen: SocketAddr, admin: SocketAddr, more: &[&str]) -> Output {
    let certs = tempfile::tempdir().unwrap();
    let mut doctor = program(&["doctor"], config, listen, admin);
    doctor.args(more);
    if !more.iter().any(|argument| ["--certs-dir", "--containerd-config"].contains(argument)) {
        let mut install = program(&["hosts", "install"], config, listen, admin);
        let installed = install.arg("--certs-dir").arg(certs.path()).output().unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        doctor.arg("--certs-dir").arg(certs.path());
    }
    tokio::task::spawn_blocking(move || doctor.output().unwrap()).await.unwrap()
}

fn program(command: &[&str], config: &Path, listen: SocketAddr, admin: SocketAddr) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    program.env_clear().args(command).arg("--config").arg(config);
    program.args(["--listen", &listen.to_string(), "--admin", &admin.to_string()]);
    program
}

/// It on this node with these arguments and no others, to be run in another way.
fn command(node: &Node, more: &[&str]) -> Command {
    let mut program = program(&["doctor"], &node.daemon.config_file(), node.daemon.listen, node.daemon.admin);
    program.args(more);
    program
}

/// The findings, and whether all was well.
async fn findings(node: &Node, more: &[&str]) -> (bool, Vec<Value>) {
    read(node, &doctor(node, &[&["--output", "json"], more].concat()).await)
}

fn read(node: &Node, output: &Output) -> (bool, Vec<Value>) {
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let ok = answer["ok"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(if ok { 0 } else { 1 }));
    let text = String::from_utf8_lossy(&output.stdout);
    for secret in node.cloud.issued_secrets() {
        assert!(!text.contains(&secret), "a secret is printed");
    }
    (ok, answer["findings"].as_array().unwrap().clone())
}

fn find<'a>(findings: &'a [Value], step: &str) -> &'a Value {
    let found = findings.iter().find(|finding| finding["step"].as_str().unwrap().starts_with(step));
    found.unwrap_or_else(|| panic!("no '{step}' in {findings:#?}"))
}

/// Bound and let go of again: nobody listens there.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn image() -> String {
    format!("{DOMAIN}/{REPOSITORY}:{TAG}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_works_is_shown_hop_by_hop() {
    let node = node(Method::Rrsa).await;
    let (ok, found) = findings(&node, &["--image", &image()]).await;
    assert!(ok, "{found:#?}");
    for step in ["AssumeRoleWithOIDC", "AssumeRole acs:ram::222222222222:role/acr-pull", "GetAuthorizationToken"] {
        let hop = find(&found, step);
        assert!(hop["milliseconds"].as_f64().is_some_and(|took| took > 0.0), "{hop}");
        assert!(hop["endpoint"].as_str().unwrap().ends_with(".aliyuncs.com"), "{hop}");
        assert!(hop["expires"].as_str().unwrap().ends_with('Z') && hop["requestId"].is_string(), "{hop}");
    }
    for step in ["token file", "name of the registry", "challenge", "name of the token realm", "bearer", "manifest"] {
        assert_eq!(find(&found, step)["outcome"], "ok", "{step}");
    }
    assert!(find(&found, "blob")["endpoint"].as_str().unwrap().contains(".oss-cn-hangzhou-internal."));
    for host in ["registry", "token realm", "blob host"] {
        let tls = find(&found, &format!("TLS of the {host}"));
        let text = tls["text"].as_str().unwrap();
        assert!(tls["outcome"] == "ok" && tls["milliseconds"].as_f64() > Some(0.0), "{tls}");
        assert!(text.starts_with("TLSv1.3; its certificate is for "), "{text}");
        assert!(
            text.contains(tls["endpoint"].as_str().unwrap()) && text.contains(", by cloudsim private CA"),
            "{text}"
        );
        assert!(text.contains(", good until "), "{text}");
    }
    assert!(find(&found, "trust policy")["text"].as_str().unwrap().contains(setup::SUBJECT));
    for step in ["clock", "containerd", "hosts.toml", "daemon", "way of a pull", "status", "pull"] {
        assert_eq!(find(&found, step)["outcome"], "ok", "{step}");
    }
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_examined() {
    for method in Method::ALL {
        let node = node(method).await;
        let (ok, found) = findings(&node, &["--instance", setup::INSTANCE]).await;
        assert!(ok, "{}: {found:#?}", method.name());
        node.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_lines_without_colour_in_a_pipe() {
    let node = node(Method::Rrsa).await;
    let output = doctor(&node, &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("\ninstance cri-abcd1234efgh5678\n  ok    token file: "), "{text}");
    assert!(text.ends_with("Everything that was looked at works.\n") && !text.contains('\u{1b}'), "{text}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_halves_of_no_permission_are_named_with_their_arns_and_nothing_behind_it_is_blamed() {
    let node = node(Method::Rrsa).await;
    node.cloud.directory().edit_role(setup::PULL_ROLE, |role| *role = Role::new(setup::PULL_ROLE));
    let (ok, found) = findings(&node, &[]).await;
    assert!(!ok);
    assert_eq!(find(&found, "AssumeRoleWithOIDC")["outcome"], "ok");
    let hop = find(&found, "AssumeRole acs:");
    assert_eq!((hop["outcome"].as_str(), hop["who"].as_str()), (Some("failed"), Some("account A or B")), "{hop}");
    let fix = hop["fix"].as_str().unwrap();
    assert!(fix.contains(setup::CLUSTER_ROLE) && fix.contains(setup::PULL_ROLE), "{fix}");
    assert!(hop["requestId"].is_string() && hop["endpoint"].is_string(), "{hop}");
    assert_eq!(find(&found, "GetAuthorizationToken")["outcome"], "skipped");
    // The daemon still has the login from before.
    assert_eq!(find(&found, "status")["outcome"], "ok");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_somebody_else_is_found_before_sts_is_asked() {
    let node = node(Method::Rrsa).await;
    let directory = node.cloud.directory();
    let mut claims = directory.oidc_claims("alice", node.cloud.clock().now(), jiff::SignedDuration::from_hours(1));
    claims["aud"] = serde_json::json!(["https://kubernetes.default.svc"]);
    claims["iss"] = serde_json::json!("https://kubernetes.default.svc");
    std::fs::write(node.cloud.oidc_token_file(), directory.sign_oidc_token(&claims)).unwrap();
    let (ok, found) = findings(&node, &[]).await;
    assert!(!ok);
    let causes: Vec<_> = found.iter().filter(|finding| finding["step"] == "token file").collect();
    assert_eq!(causes.len(), 3, "{causes:#?}");
    assert!(causes[0]["fix"].as_str().unwrap().contains("audience: sts.aliyuncs.com"));
    // A good token, of an account that `policy` writes no trust policy for.
    let claims = directory.oidc_claims(setup::SUBJECT, node.cloud.clock().now(), jiff::SignedDuration::from_hours(1));
    std::fs::write(node.cloud.oidc_token_file(), directory.sign_oidc_token(&claims)).unwrap();
    let (ok, found) = findings(&node, &["--namespace", "registry", "--service-account", "puller"]).await;
    let strange = found.iter().filter(|finding| finding["outcome"] == "warning").collect::<Vec<_>>();
    assert!(ok && strange.len() == 1 && strange[0]["step"] == "token file", "{strange:#?}");
    assert!(strange[0]["text"].as_str().unwrap().contains("system:serviceaccount:registry:puller"), "{strange:#?}");
    assert!(strange[0]["fix"].as_str().unwrap().contains("--service-account"), "{strange:#?}");
    std::fs::remove_file(node.cloud.oidc_token_file()).unwrap();
    let (_, found) = findings(&node, &[]).await;
    assert!(find(&found, "token file")["text"].as_str().unwrap().contains("cannot be read"));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_certificates_are_told_apart() {
    let node = node(Method::Rrsa).await;
    for (effect, who, part) in [
        (Effect::RefuseConnection, "network", "cannot connect to sts-vpc"),
        (Effect::WrongCertificate, "network", "certificate"),
    ] {
        let fault = node.cloud.fault(Fault::on(Service::Sts, effect).host("sts-vpc.cn-hangzhou.aliyuncs.com"));
        let (ok, found) = findings(&node, &[]).await;
        let hop = find(&found, "AssumeRoleWithOIDC");
        assert!(!ok && hop["who"] == who && hop["text"].as_str().unwrap().contains(part), "{hop}");
        node.cloud.faults().remove(fault);
    }
    // A registry that is somebody else: the names it has are told, and a CA of one's own is what to do about it.
    let fault = node.cloud.fault(Fault::on(Service::Registry, Effect::WrongCertificate));
    let (ok, found) = findings(&node, &[]).await;
    let tls = find(&found, "TLS of the registry");
    assert!(!ok && tls["outcome"] == "failed" && tls["who"] == "network", "{tls}");
    assert!(tls["text"].as_str().unwrap().contains("another-name.invalid"), "{tls}");
    assert!(tls["fix"].as_str().unwrap().contains("network.caFile"), "{tls}");
    assert_eq!(find(&found, "name of the registry")["outcome"], "ok");
    node.cloud.faults().remove(fault);
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_domains_out_of_reach_is_a_warning_and_all_of_them_a_failure() {
    let node = node(Method::Rrsa).await;
    let away = "  \"demo-registry.cn-hangzhou.cr.aliyuncs.com\": ";
    let config = std::fs::read_to_string(node.daemon.config_file()).unwrap();
    let line = config.lines().find(|line| line.contains(away)).expect("an override of the public domain");
    let broken = config.replace(line, &format!("  {away}no-such-name.invalid"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), broken).unwrap();
    let (ok, found) = with_config(&node, file.path()).await;
    let name = find(&found, "name of the registry");
    assert!(ok && name["outcome"] == "warning" && name["fix"].as_str().unwrap().contains("network.hosts"), "{name}");
    assert!(name["text"].as_str().unwrap().contains("cannot resolve demo-registry.cn-hangzhou"), "{name}");
    node.cloud.fault(Fault::on(Service::Registry, Effect::RefuseConnection));
    let (ok, found) = with_config(&node, file.path()).await;
    assert!(!ok && find(&found, "name of the registry")["outcome"] == "failed");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_a_warning_with_its_size() {
    let node = node(Method::Rrsa).await;
    let cloud = &node.cloud;
    cloud.fault(Fault::on_any(Effect::SkewedDate(jiff::SignedDuration::from_secs(-600))));
    let (ok, found) = findings(&node, &[]).await;
    let clock = find(&found, "clock");
    assert_eq!(clock["outcome"], "warning", "{clock}");
    assert!(clock["text"].as_str().unwrap().contains("s ahead of the cloud's"), "{clock}");
    // The daemon corrects for it, and so does the examination.
    assert!(ok, "{found:#?}");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_cloud_is_examined_all_the_same() {
    let node = node(Method::Rrsa).await;
    let port = free_port();
    let (ok, found) = read(&node, &doctor_at(&node, port, node.daemon.admin, &["--output", "json"]).await);
    assert!(!ok);
    assert_eq!(find(&found, "GetAuthorizationToken")["outcome"], "ok");
    let daemon = find(&found, "daemon");
    assert!(daemon["outcome"] == "failed" && daemon["fix"].as_str().unwrap().starts_with("start it"), "{daemon}");
    // Another program at the address of pulls is told from ours: here, our own admin address.
    let (_, found) = read(&node, &doctor_at(&node, node.daemon.admin, port, &["--output", "json"]).await);
    assert!(find(&found, "daemon")["text"].as_str().unwrap().contains("not as this daemon does"));
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_not_configured_is_wrong_usage() {
    let node = node(Method::Rrsa).await;
    for arguments in [["--instance", "cri-none"], ["--image", "No/Name:x:y"]] {
        let output = doctor(&node, &arguments).await;
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    }
    node.finish().await;
}
