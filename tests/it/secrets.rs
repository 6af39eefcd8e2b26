//! No secret leaves the daemon, whatever it is asked and whatever goes wrong: every secret that the simulated cloud set up
//! or issued is looked for in everything the daemon printed, logged, exported or served.
//!
//! Each method of a first credential is driven through pulls, revocations and renewals, and then through services that
//! fail with an answer in which they repeat what they were given.

mod given;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use cloudsim::fault::Fault;
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::{Role, setup};
use cloudsim::settings::UrlSignature;
use cloudsim::{CloudSim, Method};
use http::StatusCode;

use crate::support::client::Reply;
use crate::support::daemon::{Daemon, PROGRAM};
use crate::support::node::get;
use crate::support::{DOMAIN, Node, REPOSITORY, TAG, blob, manifest};
use given::Given;

/// The shortest piece of a secret that counts as one.
const PIECE: usize = 16;
/// How often it is tried to be asked meanwhile; nothing tells when a back-off ends.
const POLL: Duration = Duration::from_millis(50);
/// How long a failing service may take to be asked again: levels back off.
const LIMIT: Duration = Duration::from_secs(60);

/// Everything a client was answered.
#[derive(Default)]
struct Answers(String);

impl Answers {
    fn note(&mut self, reply: &Reply) {
        let Reply { status, reason, headers, body, .. } = reply;
        // Content of a registry is no secret of the cloud, and may hold anything.
        let body = if status.is_success() { "".into() } else { String::from_utf8_lossy(body) };
        self.0.push_str(&format!("{status} {reason}\n{headers:?}\n{body}\n"));
    }

    async fn pull(&mut self, node: &Node, path: &str) -> StatusCode {
        let bearer = format!("Bearer {}", client_token(&node.daemon));
        let reply = node.mirror.ask(http::Method::GET, path, &[("authorization", &bearer)]).await;
        self.note(&reply);
        // The same from somebody who has it almost right, whom the daemon tells about it.
        self.note(&node.mirror.ask(http::Method::GET, path, &[("authorization", &format!("{bearer}x"))]).await);
        reply.status
    }
}

/// Check 22 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_leaves_the_daemon_with_any_method_through_renewals_and_faults() {
    let methods = Method::ALL.map(|method| tokio::spawn(drive(method)));
    for method in methods {
        method.await.unwrap();
    }
}

async fn drive(method: Method) {
    let node = Node::guarded(method).await;
    // A V4 signature is hexadecimal, and so looks like any id.
    node.cloud.configure(|settings| settings.blob_url.signature = UrlSignature::V4);
    let mut answers = Answers::default();
    let layer = blob(&node.image.layers[0]);
    let (_, hex) = node.image.layers[0].split_once(':').unwrap();
    assert_eq!(answers.pull(&node, &manifest(TAG)).await, StatusCode::OK, "{method:?}");
    assert_eq!(answers.pull(&node, &layer).await, StatusCode::OK, "{method:?}");
    node.cloud.directory().revoke_sessions(setup::PULL_ROLE);
    node.cloud.revoke_bearers();
    assert_eq!(answers.pull(&node, &manifest(TAG)).await, StatusCode::OK, "{method:?}: everything was revoked");

    // The longest chain has all services; the others share its code.
    let failing: &[Service] = match method {
        Method::MultiHop => &[Service::Oss, Service::Registry, Service::Realm, Service::Cr, Service::Sts],
        _ => &[],
    };
    for &service in failing {
        match service {
            Service::Cr => node.cloud.directory().revoke_logins(Some(setup::INSTANCE)),
            Service::Sts => node.cloud.directory().revoke_sessions(setup::PULL_ROLE),
            _ => {}
        }
        for number in 0.. {
            if service == Service::Oss {
                // So that the URL which is asked next has been asked before.
                assert_eq!(answers.pull(&node, &layer).await, StatusCode::OK, "{method:?}: {number}");
            }
            let Some(effect) = Given::to(service, &node.cloud, hex).echo(service, number) else { break };
            let fault = Fault::on(service, effect).once();
            // Not while another blob is fetched ahead.
            let fault = if service == Service::Oss { fault.path_contains(hex) } else { fault };
            let fault = node.cloud.fault(fault);
            let path = match service {
                Service::Oss => layer.clone(),
                // With the bearer that was issued last, and that the registry is given again.
                Service::Registry => manifest(&format!("absent-{number}")),
                // A repository of its own needs a bearer of its own.
                _ => format!("/v2/team/{service:?}-{number}/manifests/v1?ns={DOMAIN}").to_lowercase(),
            };
            let met = async {
                while node.cloud.faults().struck(fault) == 0 {
                    tokio::time::sleep(POLL).await;
                    answers.pull(&node, &path).await;
                }
            };
            tokio::time::timeout(LIMIT, met).await.unwrap_or_else(|_| panic!("{method:?}: {service:?} was not asked"));
            node.cloud.faults().remove(fault);
        }
    }
    node.cloud.directory().edit_role(setup::PULL_ROLE, |role| *role = Role::new(setup::PULL_ROLE));
    answers.pull(&node, &format!("/v2/team/denied/manifests/v1?ns={DOMAIN}")).await;
    look_everywhere(method, node, answers).await;
}

async fn look_everywhere(method: Method, node: Node, answers: Answers) {
    let Node { cloud, daemon, .. } = node;
    let mut shown = vec![("answers", answers.0)];
    let client_token = client_token(&daemon);
    for path in ["/metrics", "/status", "/", "/readyz", "/absent"] {
        shown.push((path, get(daemon.admin, path).await.1));
    }
    shown.push(("what our commands say", commands(&daemon, &client_token).await));
    shown.push(("files", daemon.left_behind()));
    shown.push(("log", daemon.stop()));
    let mut secrets = cloud.issued_secrets();
    secrets.push(std::fs::read_to_string(cloud.oidc_token_file()).unwrap());
    secrets.push(client_token);
    for (place, text) in &shown {
        for secret in &secrets {
            // A message that was cut may end within a secret, and its end is as secret as its beginning.
            for piece in pieces(secret) {
                if let Some(at) = text.find(piece) {
                    let line = text.get(at.saturating_sub(300)..at).unwrap_or_default();
                    panic!("{method:?}: part of a secret of {} characters is in {place}, after {line}", secret.len());
                }
            }
        }
    }
}

/// The token that stands beside the daemon's configuration.
fn client_token(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.config_file().with_file_name("client-token")).unwrap()
}

/// Everything that the commands of an operator print on this node, in both forms.
async fn commands(daemon: &Daemon, token: &str) -> String {
    let image = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
    let dir = tempfile::tempdir().unwrap();
    // As on a node: containerd's directory with an entry of ours, which holds the token.
    let run = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.env_clear().args(arguments).env("ACR_PULL_PROXY_CONFIG", daemon.config_file());
        command.env("ACR_PULL_PROXY_LISTEN", daemon.listen.to_string());
        command.env("ACR_PULL_PROXY_ADMIN", daemon.admin.to_string());
        command.env("ACR_PULL_PROXY_CERTS_DIR", dir.path().join("certs.d"));
        command.env("ACR_PULL_PROXY_STATE_DIR", dir.path());
        async move { command.output().await.unwrap() }
    };
    let mut said = String::new();
    for output in ["text", "json"] {
        for arguments in [
            &["check"][..],
            &["policy"],
            &["convert"],
            &["hosts", "install", "--dry-run"],
            &["hosts", "install"],
            &["hosts", "print"],
            &["hosts", "status"],
            &["doctor", "--image", &image],
            &["pull", &image],
            &["hosts", "install", "--rotate-token", "--dry-run"],
            &["hosts", "uninstall", "--dry-run"],
            &["version"],
        ] {
            let done = run(&[arguments, &["--output", output]].concat()).await;
            said += &format!("{arguments:?} {}\n", done.status);
            said += &[done.stdout, done.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        }
    }
    let file = dir.path().join("certs.d").join(DOMAIN).join("hosts.toml");
    assert!(std::fs::read_to_string(file).unwrap().contains(token), "the entry has the token, or nothing was tested");
    said
}

/// Beginning and end of a secret. What a JWT begins with is the same for all of one kind, and no secret.
fn pieces(secret: &str) -> impl Iterator<Item = &str> {
    let payload = if secret.starts_with("eyJ") { secret.rfind('.').map_or(0, |dot| dot + 1) } else { 0 };
    let own = secret.get(payload..).unwrap_or_default();
    let ends = [own.get(..PIECE), own.get(own.len().saturating_sub(PIECE)..)];
    ends.into_iter().flatten().filter(|piece| piece.len() == PIECE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_configuration_is_masked_where_the_configuration_is_shown() {
    let cloud = CloudSim::start().await.unwrap();
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(1, 1024, 3)).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), cloud.node_config(Method::AccessKey)).unwrap();
    for output in ["text", "json"] {
        let check = std::process::Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"))
            .args(["check", "--output", output, "--config"])
            .arg(file.path())
            .env_clear()
            .output()
            .unwrap();
        assert!(check.status.success());
        let shown = [check.stdout, check.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(shown.contains("***"), "{shown}");
        for secret in cloud.issued_secrets() {
            assert!(!shown.contains(&secret), "a secret of {} characters is shown", secret.len());
        }
    }
}

/// Check 22 (`tests/it/peers.rs`).
#[tokio::test]
async fn the_memory_of_the_daemon_ends_in_no_file_and_no_other_process() {
    let cloud = CloudSim::start().await.unwrap();
    let mut program = std::process::Command::new(PROGRAM);
    // The kernel gives the files of a process in /proc to root where nobody else may look into it (proc(5)). Root itself
    // is told apart by its group.
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if root {
        program.gid(65_534);
    }
    let daemon = Daemon::through(&cloud.node_config(Method::WorkerRole), program).await;
    let of_process = |file: &str| format!("/proc/{}/{file}", daemon.pid());
    let memory = std::fs::metadata(of_process("mem")).unwrap();
    assert_eq!((memory.uid(), memory.gid()), (0, 0), "its memory can be dumped");
    let limits = std::fs::read_to_string(of_process("limits")).unwrap();
    let core: Vec<_> =
        limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().split("  ").collect();
    let values: Vec<_> = core.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    assert_eq!(values[1..3], ["0", "0"], "{limits}");
    // What it tells of itself goes on being told.
    let (_, metrics) = get(daemon.admin, "/metrics").await;
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
        assert!(metrics.contains(&format!("\n{name} ")), "{name} is gone");
    }
    daemon.stop();
}
