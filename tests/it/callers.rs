//! `clientAuth`: who does not know the client token gets nothing, costs the upstream nothing and learns what to run; who
//! knows it is never refused, through rotations and restarts. Without it nobody from outside the node gets in.

mod with_containerd;

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http::StatusCode;
use tempfile::TempDir;

use crate::support::client::{Mirror, Reply};
use crate::support::daemon::Daemon;
use crate::support::node::get;
use crate::support::{DOMAIN, LIMIT, Node, POLL, REPOSITORY, TAG, blob, manifest};

/// A node whose daemon wants to see a token, and the directories around it.
struct Guarded {
    node: Node,
    dir: TempDir,
}

impl Guarded {
    /// With a token made by the installer before the daemon starts.
    async fn start() -> Self {
        let guarded = Self::without_token().await;
        guarded.hosts(&["install"]);
        guarded.opened().await;
        guarded
    }

    /// The daemon before anybody has run the installer.
    async fn without_token() -> Self {
        let cloud = CloudSim::start().await.unwrap();
        let image = Image::random(2, 16 * 1024, 5);
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("certs.d")).unwrap();
        let auth = format!("clientAuth:\n  tokenFile: {}/state/client-token\n", dir.path().display());
        let daemon = Daemon::start(&(cloud.node_config(Method::Rrsa) + &auth)).await;
        let mirror = Mirror::at(daemon.listen);
        Self { node: Node { cloud, image, daemon, mirror }, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn token(&self) -> String {
        fs::read_to_string(self.path("state/client-token")).unwrap().trim().to_owned()
    }

    /// What containerd sends, as it stands in its file.
    fn header(&self) -> String {
        let text = fs::read_to_string(self.path("certs.d").join(DOMAIN).join("hosts.toml")).unwrap();
        let line = text.lines().find_map(|line| line.trim().strip_prefix("Authorization = \"")).unwrap();
        line.trim_end_matches('"').to_owned()
    }

    /// A command of ours on this node.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command
            .env_clear()
            .env("ACR_PULL_PROXY_CONFIG", self.node.daemon.config_file())
            .env("ACR_PULL_PROXY_LISTEN", self.node.daemon.listen.to_string())
            .env("ACR_PULL_PROXY_ADMIN", self.node.daemon.admin.to_string())
            .env("ACR_PULL_PROXY_CERTS_DIR", self.path("certs.d"))
            .args(arguments);
        command
    }

    fn hosts(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&["hosts"]);
        let output = command.args(arguments).env("ACR_PULL_PROXY_STATE_DIR", self.path("record")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let said = [&output.stdout[..], &output.stderr].concat();
        assert!(!String::from_utf8(said).unwrap().contains(&self.token()), "{arguments:?} prints the token");
        output
    }

    async fn ask(&self, path: &str, authorization: &str) -> Reply {
        self.node.mirror.ask(http::Method::GET, path, &[("authorization", authorization)]).await
    }

    /// Waits until the daemon has a token and a login.
    async fn opened(&self) {
        let ready = async {
            while get(self.node.daemon.admin, "/readyz").await.0 != StatusCode::OK {
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(LIMIT, ready).await.expect("ready");
    }

    /// Ends it, and looks for the tokens in everything that was said.
    async fn finish(self, tokens: &[String]) {
        let mut shown = String::new();
        for path in ["/metrics", "/status", "/", "/readyz"] {
            shown += &get(self.node.daemon.admin, path).await.1;
        }
        shown += &self.node.daemon.stop();
        for token in tokens {
            assert!(!shown.contains(token), "a client token is shown");
        }
    }
}

/// Fails the test unless the daemon refused, saying `why`, what to run, and asking for no credentials.
fn refused(reply: &Reply, why: &str) {
    let (code, message) = reply.error();
    assert_eq!((reply.status.as_u16(), code.as_str()), (403, "DENIED"), "{message}");
    assert_eq!(message, format!("acr-pull-proxy: node: {why}; run hosts install on the node"));
    assert_eq!(message, reply.reason);
    assert!(!reply.headers.contains_key("www-authenticate"));
}

/// Check 15 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_token_gets_nothing_and_costs_nothing() {
    let guarded = Guarded::start().await;
    let token = guarded.token();
    let paths = [manifest(TAG), blob(&guarded.node.image.layers[0]), "/v2/".to_owned(), "/v2/_catalog".to_owned()];
    let almost = format!("Bearer {}x", token.get(..token.len() - 1).unwrap());
    for path in &paths {
        refused(&guarded.node.mirror.get(path).await, "no client token was sent");
        refused(&guarded.ask(path, "Bearer wrong").await, "the client token is wrong");
        refused(&guarded.ask(path, &almost).await, "the client token is wrong");
        assert_eq!(guarded.node.mirror.head(path).await.status, StatusCode::FORBIDDEN);
    }
    let written = guarded.node.mirror.ask(http::Method::PUT, &manifest(TAG), &[]).await;
    refused(&written, "no client token was sent");
    let journal = guarded.node.cloud.journal();
    let asked = [Service::Registry, Service::Realm, Service::Oss].map(|service| journal.count(service));
    assert_eq!(asked, [0, 0, 0], "a stranger's request reached the cloud");

    let basic = STANDARD.encode(format!("anybody:{token}"));
    for good in [format!("Bearer {token}"), format!("Basic {basic}"), guarded.header()] {
        for path in paths.iter().take(3) {
            guarded.ask(path, &good).await.expect(200);
        }
    }
    assert!(journal.authorizations_at(Service::Oss).is_empty());
    guarded.finish(&[token, basic]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_fails_no_pull_whichever_file_is_read_first() {
    let guarded = Guarded::start().await;
    let first = guarded.token();
    let mut refusals = 0_u32;
    let mut pulls = 0_u32;
    for _ in 0..3 {
        // As containerd does: one header for all requests of an image, the file read again for the next image.
        let rotating = guarded.command(&["hosts", "install", "--rotate-token"]);
        let mut rotating = tokio::process::Command::from(rotating)
            .env("ACR_PULL_PROXY_STATE_DIR", guarded.path("record"))
            .spawn()
            .unwrap();
        let mut done = false;
        while !done {
            done = rotating.try_wait().unwrap().map(|status| assert!(status.success())).is_some();
            let header = guarded.header();
            for path in [manifest(TAG), blob(&guarded.node.image.layers[0])] {
                pulls += 1;
                refusals += u32::from(guarded.ask(&path, &header).await.status != StatusCode::OK);
            }
        }
    }
    assert!(pulls >= 12 && refusals == 0, "{refusals} of {pulls} were refused");
    assert_ne!(guarded.token(), first);
    assert_eq!(guarded.header(), format!("Bearer {}", guarded.token()));
    guarded.ask(&manifest(TAG), &format!("Bearer {first}")).await.expect(200);
    guarded.hosts(&["install", "--rotate-token", "--dry-run"]);
    assert_eq!(guarded.header(), format!("Bearer {}", guarded.token()));
    let second = guarded.token();
    guarded.finish(&[first, second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_there_is_a_token_the_door_is_closed_and_the_log_says_what_to_run() {
    let mut guarded = Guarded::without_token().await;
    let line = guarded.node.daemon.wait_for_line(LIMIT, |line| line["msg"] == "no client token can be read").await;
    assert!(line["error"].as_str().unwrap().contains("client-token does not exist"), "{line}");
    assert!(line["advice"].as_str().unwrap().contains("acr-pull-proxy hosts install"), "{line}");
    refused(&guarded.ask(&manifest(TAG), "Bearer anything").await, "the daemon has no client token yet");
    assert_eq!(get(guarded.node.daemon.admin, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let check = guarded.command(&["check"]).output().unwrap();
    let told = String::from_utf8(check.stderr).unwrap();
    assert!(check.status.success() && told.contains("hosts install"), "{told}");

    guarded.hosts(&["install"]);
    let file = guarded.path("state/client-token");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    guarded.ask(&manifest(TAG), &guarded.header()).await.expect(200);
    guarded.opened().await;

    // What is done to the file later takes nothing from a daemon that knows the token, and is complained of.
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let complaint = |line: &serde_json::Value| {
        line["error"].as_str().is_some_and(|error| error.contains("readable by everybody on this node (mode 0644)"))
    };
    guarded.node.daemon.wait_for_line(LIMIT, complaint).await;
    guarded.ask(&manifest(TAG), &guarded.header()).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_commands_show_the_token() {
    let guarded = Guarded::start().await;
    let image = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
    let run = |arguments: &[&str]| {
        let mut command = tokio::process::Command::from(guarded.command(arguments));
        async move { command.output().await.unwrap() }
    };
    let pull = run(&["pull", &image]).await;
    assert!(pull.status.success(), "{}", String::from_utf8_lossy(&pull.stderr));
    let doctor = run(&["doctor", "--image", &image]).await;
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.status.success() && said.contains("every digest verified"), "{said}");
    assert!(!said.contains(&guarded.token()));

    // One that the daemon does not know: both say so, and what to do.
    let other = guarded.path("other");
    fs::write(&other, "another-token-of-somebody").unwrap();
    fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
    let config = fs::read_to_string(guarded.node.daemon.config_file()).unwrap();
    let config = config.replace(guarded.path("state/client-token").to_str().unwrap(), other.to_str().unwrap());
    fs::write(guarded.path("config.yaml"), config).unwrap();
    let file = guarded.path("config.yaml");
    for arguments in [&["pull", &image][..], &["doctor"]] {
        let output = run(&[arguments, &["--config", file.to_str().unwrap()]].concat()).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the client token is wrong"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_can_reach_needs_a_token() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config_at(Method::WorkerRole, "0.0.0.0:0", "127.0.0.1:0");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &config).unwrap();
    let loopback = tempfile::NamedTempFile::new().unwrap();
    fs::write(loopback.path(), cloud.node_config(Method::WorkerRole)).unwrap();
    let cases: [(&str, &Path, &[&str]); 3] =
        [("check", file.path(), &[]), ("serve", file.path(), &[]), ("serve", loopback.path(), &["--listen", "[::]:0"])];
    for (command, path, more) in cases {
        let mut program = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        let output = program.env_clear().arg(command).args(more).arg("--config").arg(path).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("can be reached from outside this node") && told.contains("clientAuth"), "{told}");
    }

    let token = "one-token-for-the-whole-node";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, token).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(1, 1024, 3)).unwrap();
    let mut daemon = Daemon::start(&format!("{config}clientAuth:\n  tokenFile: {}\n", path.display())).await;
    let outside = Mirror::at(SocketAddr::new(own_address().into(), daemon.listen.port()));
    refused(&outside.get(&manifest(TAG)).await, "no client token was sent");
    let bearer = format!("Bearer {token}");
    outside.ask(http::Method::GET, &manifest(TAG), &[("authorization", &bearer)]).await.expect(200);

    // Taking the token away while strangers can reach the socket is refused as well.
    let without = config.replace("0.0.0.0:0", "127.0.0.1:0");
    fs::write(daemon.config_file(), without).unwrap();
    daemon.signal("HUP");
    daemon.wait_for_line(LIMIT, |line| line["msg"] == "the new configuration is refused").await;
    refused(&outside.get(&manifest(TAG)).await, "no client token was sent");
}

/// The address under which other machines know this one, where it has one. Nothing is sent.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // An address of documentation (RFC 5737): only the route to it is looked up.
    let routed = socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9)).and_then(|()| socket.local_addr());
    match routed.map(|address| address.ip()) {
        Ok(std::net::IpAddr::V4(address)) => address,
        _ => Ipv4Addr::LOCALHOST,
    }
}
