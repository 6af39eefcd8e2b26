//! Pulls over TLS: containerd, our own commands and others verify the daemon by the certificate that the configuration
//! names; a new certificate is seen by the next connection.

mod with_containerd;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::malformed::send_one;
use crate::malformed::shapes::SHAPES;
use crate::support::daemon::Daemon;
use crate::support::{DOMAIN, LIMIT, REPOSITORY, TAG};

/// A daemon with a certificate of its own.
struct Site {
    daemon: Daemon,
    dir: TempDir,
    _cloud: CloudSim,
}

/// Makes a certificate for this node and for the registry's name, and puts it into its files.
fn certify(dir: &TempDir) {
    let names = vec!["127.0.0.1".to_owned(), DOMAIN.to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(dir.path().join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(dir.path().join("tls.crt"), made.cert.pem()).unwrap();
}

impl Site {
    async fn start() -> Self {
        let cloud = CloudSim::start().await.unwrap();
        cloud.push(setup::INSTANCE, REPOSITORY, TAG, &Image::random(2, 300_000, 9)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        certify(&dir);
        let at = dir.path().display();
        let tls = format!("tls:\n  certFile: {at}/tls.crt\n  keyFile: {at}/tls.key\n  caFile: {at}/tls.crt\n");
        let daemon = Daemon::start(&(cloud.node_config(Method::WorkerRole) + &tls)).await;
        Self { daemon, dir, _cloud: cloud }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command
            .env_clear()
            .env("ACR_PULL_PROXY_CONFIG", self.daemon.config_file())
            .env("ACR_PULL_PROXY_LISTEN", self.daemon.listen.to_string())
            .env("ACR_PULL_PROXY_ADMIN", self.daemon.admin.to_string())
            .env("ACR_PULL_PROXY_STATE_DIR", self.path("record"))
            .args(arguments);
        command
    }

    /// Greets the daemon by a name, offering these protocols, and trusting what is in the file now.
    async fn greet(&self, name: &str, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path("tls.crt")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.daemon.listen).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_offered_and_a_name_that_leads_here_is_enough() {
    let site = Site::start().await;
    // As a client whose hosts file sends the registry's name to this node: no ns, no prefix.
    let mut stream = site.greet(DOMAIN, &[b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let path = format!("/v2/{REPOSITORY}/manifests/{TAG}");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // To the end, which TLS has to announce: one that is only cut off would be an error.
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));

    let stream = site.greet(DOMAIN, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::get(format!("https://{DOMAIN}{path}")).body(http_body_util::Empty::<bytes::Bytes>::new());
    assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_seen_by_the_next_connection() {
    let mut site = Site::start().await;
    site.greet("127.0.0.1", &[]).await;
    certify(&site.dir);
    site.daemon.wait_for_line(LIMIT, |line| line["msg"] == "new connections see the new certificate").await;
    site.greet("127.0.0.1", &[]).await;
    fs::write(site.path("tls.key"), "half writ").unwrap();
    site.daemon.wait_for_line(LIMIT, |line| line["msg"] == "the certificate in use stays").await;
    site.greet("127.0.0.1", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_commands_verify_it_and_a_bad_pair_of_files_is_exit_code_2() {
    let site = Site::start().await;
    let image = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
    let certs = site.path("certs.d");
    fs::create_dir(&certs).unwrap();
    for arguments in [&["hosts", "install"][..], &["pull", &image], &["doctor", "--image", &image]] {
        let mut command = tokio::process::Command::from(site.command(arguments));
        let output = command.env("ACR_PULL_PROXY_CERTS_DIR", &certs).output().await.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    let entry = fs::read_to_string(certs.join(DOMAIN).join("hosts.toml")).unwrap();
    assert!(entry.contains(&format!("[host.\"https://{}\"]", site.daemon.listen)), "{entry}");
    assert!(entry.contains(&format!("  ca = \"{}\"\n", site.path("tls.crt").display())), "{entry}");

    // Plain HTTP is no greeting.
    let mut stream = TcpStream::connect(site.daemon.listen).await.unwrap();
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP/1.1 2"));

    fs::write(site.path("tls.key"), "nothing").unwrap();
    let mut command = site.command(&["serve"]);
    command.env("ACR_PULL_PROXY_LISTEN", "127.0.0.1:0").env("ACR_PULL_PROXY_ADMIN", "127.0.0.1:0");
    let output = tokio::process::Command::from(command).output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("tls.key holds no PEM key; correct tls.certFile and tls.keyFile"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused_behind_tls_too() {
    let site = Site::start().await;
    for number in 0..2 * SHAPES.len() {
        send_one(site.greet(DOMAIN, &[b"http/1.1"]).await, number).await;
    }
    site.greet(DOMAIN, &[b"http/1.1"]).await;
}

/// What the daemon allows for a greeting, and the request behind it.
const GREETING: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_greeting_that_does_not_come_to_its_end_ends_the_connection() {
    let site = Site::start().await;
    let begun = Instant::now();
    let waiting = [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"].map(|beginning| async {
        let mut stream = TcpStream::connect(site.daemon.listen).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let read = timeout(2 * GREETING, stream.read_to_end(&mut Vec::new())).await;
        read.expect("the daemon closes").ok();
        begun.elapsed()
    });
    // A greeting alone is no request.
    let greeted = async {
        let mut stream = site.greet(DOMAIN, &[b"h2"]).await;
        timeout(2 * GREETING, stream.read_to_end(&mut Vec::new())).await.expect("the daemon closes").ok();
        begun.elapsed()
    };
    let (waited, greeted) = tokio::join!(futures_util::future::join_all(waiting), greeted);
    for took in waited.into_iter().chain([greeted]) {
        assert!(took >= GREETING - Duration::from_secs(1), "{took:?}");
    }
}
