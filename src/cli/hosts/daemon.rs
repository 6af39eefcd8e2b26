//! What the running daemon knows: whether it is ready, and the domains that the cloud named.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::super::output::Failure;
use crate::error::BoxError;
use crate::http::body::collect_limited;
use crate::oci::RegistryHost;

/// How long an answer may take. The daemon is on this node and answers out of memory.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How often it is asked whether it is ready.
const POLL: Duration = Duration::from_millis(200);

/// Longest status that is read: two hundred instances take a tenth of it.
const LONGEST_STATUS: usize = 4 << 20;

/// The part of `/status` that is needed here.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    /// Where pulls come in.
    pub(super) listen: SocketAddr,
    /// Whether every instance is ready, and the daemon not about to end.
    pub(super) ready: bool,
    /// Every configured instance.
    pub(super) instances: Vec<Instance>,
}

/// One instance of it.
#[derive(Debug, Deserialize)]
pub(super) struct Instance {
    id: String,
    domains: Vec<String>,
    /// Whether it has a login that can be used.
    pub(super) ready: bool,
}

impl Instance {
    /// The domains it is served under, as far as they are known.
    pub(super) fn domains(&self) -> impl Iterator<Item = RegistryHost> {
        self.domains.iter().filter_map(|name| RegistryHost::parse(name).ok())
    }
}

/// What the daemon says of itself; `None` where no daemon answers.
pub(super) fn status(admin: SocketAddr) -> Option<Status> {
    let (status, body) = block_on(get(admin, "/status"))?.ok()?;
    serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK)
}

/// The domains of each instance, by its id; `None` where no daemon answers.
pub(super) fn domains(admin: SocketAddr) -> Option<BTreeMap<String, Vec<RegistryHost>>> {
    let instances = status(admin)?.instances;
    Some(instances.into_iter().map(|instance| (instance.id.clone(), instance.domains().collect())).collect())
}

/// Returns as soon as the daemon is ready.
pub(super) fn wait_until_ready(admin: SocketAddr, limit: Duration) -> Result<(), Failure> {
    let ready = async {
        while !matches!(get(admin, "/readyz").await, Ok((StatusCode::OK, _))) {
            tokio::time::sleep(POLL).await;
        }
    };
    match block_on(async { tokio::time::timeout(limit, ready).await }) {
        Some(Ok(())) => Ok(()),
        _ => Err(Failure::runtime(
            format!("the daemon was not ready within {} s, so nothing was changed", limit.as_secs()),
            "ask its admin address for /readyz, or install without --wait",
        )),
    }
}

/// Runs a future to its end; `None` where no runtime can be had.
fn block_on<T>(future: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    Some(runtime.block_on(future))
}

async fn get(admin: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), BoxError> {
    let exchange = async {
        let stream = TcpStream::connect(admin).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get(path).header("host", admin.to_string()).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = collect_limited(response.into_body().map_err(BoxError::from).boxed_unsync(), LONGEST_STATUS).await?;
        Ok((status, body))
    };
    tokio::time::timeout(ANSWER_LIMIT, exchange).await?
}
