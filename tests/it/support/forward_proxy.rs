//! A small forward proxy that understands what a sharing one does: `GET` of an absolute `https` URL, over plain HTTP. It
//! makes the connection to the bucket itself, keeps what it was told, and fails as a test wants it to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It does its work.
    Works,
    /// It answers this and no more.
    Answers(u16),
    /// It ends a body after so many bytes.
    Cuts(u64),
    /// It sends so many bytes of a body and then nothing more.
    Stalls(u64),
    /// It takes requests and says nothing.
    Silent,
    /// It turns a bit of each body.
    Spoils,
}

/// The proxy.
#[derive(Debug)]
pub(crate) struct ForwardProxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _task: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    heads: Mutex<Vec<String>>,
    cloud: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
}

impl ForwardProxy {
    /// A proxy whose way to every bucket is `cloud`, whose certificates `ca` signs.
    pub(crate) async fn to(cloud: SocketAddr, ca: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ca.as_bytes()).expect("PEM")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.expect("TLS").with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (manner, heads) = (Mutex::new(Manner::Works), Mutex::default());
        let state = Arc::new(State { manner, heads, cloud, tls: Arc::new(tls) });
        let serving = Arc::clone(&state);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                connections.spawn(async move { state.serve(stream).await });
            }
        });
        Self { address, state, _task: task }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.state.manner.lock().expect("no panic") = manner;
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.state.heads.lock().expect("no panic").clone()
    }
}

impl State {
    /// One request for each connection.
    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        self.heads.lock().expect("no panic").push(head.clone());
        let manner = *self.manner.lock().expect("no panic");
        if let Manner::Answers(status) = manner {
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return stream.write_all(answer.as_bytes()).await.ok();
        }
        if manner == Manner::Silent {
            return std::future::pending().await;
        }
        let rest = head.strip_prefix("GET https://")?;
        let (host, rest) = rest.split_once('/')?;
        let tcp = TcpStream::connect(self.cloud).await.ok()?;
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let mut onward = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.ok()?;
        let rest = rest.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        onward.write_all(format!("GET /{rest}").as_bytes()).await.ok()?;
        if manner == Manner::Spoils {
            let mut answer = Vec::new();
            onward.read_to_end(&mut answer).await.ok();
            let body = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
            let middle = body + (answer.len() - body) / 2;
            *answer.get_mut(middle)? ^= 1;
            return stream.write_all(&answer).await.ok();
        }
        let most = match manner {
            Manner::Cuts(bytes) | Manner::Stalls(bytes) => bytes,
            _ => u64::MAX,
        };
        tokio::io::copy(&mut onward.take(most), &mut stream).await.ok()?;
        if matches!(manner, Manner::Stalls(_)) {
            std::future::pending::<()>().await;
        }
        stream.shutdown().await.ok()
    }
}
