//! A client of a few lines: one connection per request, trusting the simulator's authority and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::CloudSim;
use crate::call::Call;
use crate::sign::signer::{put, unsigned};

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A request being put together.
pub(super) struct Asked(pub(super) Call);

/// A `GET` without any header but `Host`.
pub(super) fn get(host: &str, path: &str) -> Asked {
    Asked(unsigned(Method::GET, host, path, &[], jiff::Timestamp::UNIX_EPOCH))
}

impl Asked {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        put(&mut self.0, name, value);
        self
    }

    pub(super) fn bearer(self, bearer: &str) -> Call {
        self.with("authorization", &format!("Bearer {bearer}")).0
    }
}

pub(super) struct Client {
    address: SocketAddr,
    roots: RootCertStore,
}

impl Client {
    pub(super) fn trusting(cloud: &CloudSim) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(cloud.ca_pem().as_bytes()).unwrap()).unwrap();
        Self { address: cloud.tls_addr(), roots }
    }

    /// Sends over HTTP/1.1 and reads the whole answer.
    pub(super) async fn send(&self, call: Call) -> Result<Response<Bytes>, Failure> {
        whole(self.head(call).await?).await
    }

    /// Sends over HTTP/1.1 and leaves the body to be read.
    pub(super) async fn head(&self, call: Call) -> Result<Response<Incoming>, Failure> {
        let stream = self.connect(&call.host, b"http/1.1").await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request(call, None)).await?)
    }

    /// Sends over HTTP/2 and reads the whole answer.
    pub(super) async fn send_http2(&self, call: Call) -> Result<Response<Bytes>, Failure> {
        let stream = self.connect(&call.host, b"h2").await?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let origin = format!("https://{}", call.host);
        whole(sender.send_request(request(call, Some(&origin))).await?).await
    }

    /// Asks the metadata service.
    pub(super) async fn metadata(&self, cloud: &CloudSim, path: &str) -> Response<Bytes> {
        let address = cloud.imds_url().strip_prefix("http://").unwrap().to_owned();
        let stream = TcpStream::connect(&address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        whole(sender.send_request(request(get(&address, path).0, None)).await.unwrap()).await.unwrap()
    }

    async fn connect(&self, name: &str, protocol: &[u8]) -> Result<TlsStream<TcpStream>, Failure> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned())?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Response<Bytes>, Failure> {
    let (head, body) = answer.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

fn request(call: Call, origin: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(call.body));
    *request.method_mut() = call.method;
    *request.uri_mut() = format!("{}{}", origin.unwrap_or_default(), call.uri).parse().unwrap();
    *request.headers_mut() = call.headers;
    if origin.is_some() {
        request.headers_mut().remove("host");
    }
    request
}
