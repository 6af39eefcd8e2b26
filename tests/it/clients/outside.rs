//! The way out of the node for programs that are not ours: a forward proxy that finds every name at the simulated cloud.
//!
//! They so use the real names, the port of https and the certificates of those names, and no file of this machine is
//! changed for it.

use std::net::SocketAddr;
use std::path::PathBuf;

use cloudsim::CloudSim;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running proxy; gone with the test.
#[derive(Debug)]
pub(super) struct Outside {
    address: SocketAddr,
    ca_file: PathBuf,
    task: JoinHandle<()>,
}

impl Outside {
    pub(super) async fn of(cloud: &CloudSim) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let cloud_address = cloud.tls_addr();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, cloud_address));
            }
        });
        Self { address, ca_file: cloud.ca_file(), task }
    }

    /// What makes a program written in Go take this way and believe the cloud.
    pub(super) fn variables(&self) -> [(&'static str, String); 3] {
        let proxy = format!("http://{}", self.address);
        [
            ("HTTPS_PROXY", proxy.clone()),
            // Whoever tries to speak without TLS meets the same proxy, and is refused.
            ("HTTP_PROXY", proxy),
            ("SSL_CERT_FILE", self.ca_file.display().to_string()),
        ]
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One `CONNECT` (RFC 9110 section 9.3.6); anything else is closed.
async fn tunnel(stream: TcpStream, cloud: SocketAddr) -> Option<()> {
    let mut client = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    if !head.starts_with("CONNECT ") || !head.split(' ').nth(1)?.ends_with(":443") {
        return None;
    }
    let mut server = TcpStream::connect(cloud).await.ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
