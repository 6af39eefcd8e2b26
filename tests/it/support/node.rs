//! The daemon in this process, and the few requests that tests make of it.

use std::net::SocketAddr;
use std::time::Duration;

use acr_pull_proxy::app::{App, Surroundings};
use acr_pull_proxy::config::{Config, Environment, Overlay, load};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a daemon may take until it has a login; to ask whether it is ready makes it get one.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// How often it is asked meanwhile; nothing tells us when it is ready.
const READY_POLL: Duration = Duration::from_millis(20);

/// A running daemon. Dropped, it ends.
pub(crate) struct Node {
    pub(crate) app: App,
}

impl Node {
    /// Starts a daemon with this configuration.
    pub(crate) async fn start(text: &str) -> Self {
        let app = App::start(Self::parse(text), Surroundings::default()).await.expect("the daemon starts");
        Self { app }
    }

    /// The configuration that `text` is, in an empty environment.
    pub(crate) fn parse(text: &str) -> Config {
        let file = tempfile::NamedTempFile::new().expect("a file for the configuration");
        std::fs::write(file.path(), text).expect("the configuration");
        match load(file.path(), &Environment::default(), &Overlay::default()) {
            Ok(loaded) => loaded.config,
            Err(unusable) => panic!("{unusable}: {:#?}\n{text}", unusable.problems),
        }
    }

    /// Waits until every instance has a login.
    pub(crate) async fn ready(&self) {
        let ready = async {
            while get(self.app.admin_addr(), "/readyz").await.0 != StatusCode::OK {
                tokio::time::sleep(READY_POLL).await;
            }
        };
        tokio::time::timeout(READY_LIMIT, ready).await.expect("the daemon becomes ready");
    }
}

/// How many pull requests a daemon has answered.
pub(crate) async fn requests(daemon: &super::daemon::Daemon) -> f64 {
    let (_, metrics) = get(daemon.admin, "/metrics").await;
    let of_family = metrics.lines().filter(|line| line.starts_with("acr_pull_proxy_requests_total{"));
    of_family.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

/// One GET on a connection of its own; the body as text.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (StatusCode, String) {
    let (status, body) = fetch(address, path).await;
    (status, String::from_utf8(body).expect("a body of text"))
}

/// One GET on a connection of its own.
pub(crate) async fn fetch(address: SocketAddr, path: &str) -> (StatusCode, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the request is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the answer is read");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP answer");
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, body)
}
