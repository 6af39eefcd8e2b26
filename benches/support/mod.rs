//! What the benchmarks share: a client that finds every name at the simulated cloud, and the kernel's accounting.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::iter::{Once, once};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cloudsim::CloudSim;
use http::StatusCode;
use http_body_util::Empty;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// The instance's domain, as images name it.
pub(crate) const DOMAIN: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";

/// Bytes a client of images takes at once; containerd copies in pieces of 1 MiB.
const READ: usize = 1 << 20;

/// HTTP with and without TLS.
pub(crate) type Https = Client<HttpsConnector<HttpConnector<ToCloud>>, Empty<Bytes>>;

/// TLS that trusts the simulated cloud.
pub(crate) fn trusting(cloud: &CloudSim) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cloud.ca_pem().as_bytes()).expect("PEM")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    versions.expect("TLS 1.2 and 1.3").with_root_certificates(roots).with_no_client_auth()
}

/// A client that finds every https name at the simulated cloud.
pub(crate) fn client(cloud: &CloudSim) -> Https {
    let mut tcp = HttpConnector::new_with_resolver(ToCloud(cloud.tls_addr()));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let https = HttpsConnectorBuilder::new().with_tls_config(trusting(cloud)).https_or_http();
    Client::builder(TokioExecutor::new()).build(https.enable_http1().wrap_connector(tcp))
}

/// Resolves every name to the simulated cloud.
#[derive(Debug, Clone)]
pub(crate) struct ToCloud(SocketAddr);

impl tower::Service<Name> for ToCloud {
    type Response = Once<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(once(self.0)))
    }
}

/// What a client does with the bytes of a blob.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    /// Verifies the digest, as every client of images does.
    Verifying,
    /// Drops them: the strictest comparison, since a direct client then has nothing to do but decrypt.
    Discarding,
}

/// When an answer came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// From the request to the first byte of the body.
    pub(crate) first_byte: Duration,
    /// From the request to the last one.
    pub(crate) whole: Duration,
}

/// Asks for one answer of `length` bytes on a connection that stays open, and reads it to its end into a buffer that is
/// used again and again, as containerd does it.
pub(crate) async fn drained(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    (host, path): (&str, &str),
    length: usize,
    reader: Reader,
) -> Drained {
    let begun = Instant::now();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; READ];
    let mut filled = 0;
    // The head may come in pieces, and before the body.
    let end = loop {
        let more = stream.read(&mut buffer[filled..]).await.expect("a head");
        assert_ne!(more, 0, "the head ended early");
        filled += more;
        if let Some(end) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let status = format!("HTTP/1.1 {} ", StatusCode::OK.as_u16());
    assert!(buffer.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&buffer[..end]));
    let mut body = &buffer[end..filled];
    let mut read = 0;
    let mut first_byte = None;
    loop {
        if !body.is_empty() {
            first_byte.get_or_insert_with(|| begun.elapsed());
        }
        read += body.len();
        if matches!(reader, Reader::Verifying) {
            hash.update(body);
        }
        if read >= length {
            break;
        }
        let more = stream.read(&mut buffer).await.expect("a whole body");
        assert_ne!(more, 0, "the body ended early");
        body = &buffer[..more];
    }
    std::hint::black_box(hash.finish());
    let whole = begun.elapsed();
    Drained { first_byte: first_byte.unwrap_or(whole), whole }
}

/// Processor time of a process so far, user and system, as the kernel counts it in hundredths of a second (`USER_HZ`, the
/// same on every Linux).
pub(crate) fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    let (_, fields) = stat.rsplit_once(')').expect("a command name");
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}

/// A line of `/proc/PID/status` that counts memory (`VmRSS`, `VmHWM`), in MiB.
pub(crate) fn memory(pid: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let kib: f64 = found.expect("the line").trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

/// The figure in the middle.
pub(crate) fn median<T: PartialOrd + Copy>(mut figures: Vec<T>) -> T {
    figures.sort_unstable_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    figures[figures.len() / 2]
}
