//! A TLS handshake for its own sake, for whoever wants to know what the other side shows. Requests never come this way.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tokio::time::Instant;

use super::{Client, ClientError};
use crate::error::BoxError;
use crate::http::certificate::{Certificate, Greeting};

impl Client {
    /// Connects to `host` as a request would, with the same roots and overrides, and tells what it showed.
    ///
    /// # Errors
    /// [`ClientError`] where there is no connection, or the certificate is not accepted.
    pub async fn greet(&self, host: &str, port: u16) -> Result<Greeting, ClientError> {
        let addresses = self.addresses(host, port).await?;
        let (tls, limit) = (Arc::new(self.parts.tls.clone()), self.parts.connect_timeout);
        let name = host.to_owned();
        // rustls by itself knows no runtime.
        let greeting = tokio::task::spawn_blocking(move || greet(tls, &name, &addresses, limit)).await;
        let failed = |source: BoxError| ClientError::Connect { host: host.to_owned(), source };
        greeting.map_err(|error| failed(error.into()))?.map_err(failed)
    }
}

fn greet(tls: Arc<ClientConfig>, host: &str, addresses: &[SocketAddr], limit: Duration) -> Result<Greeting, BoxError> {
    let name = ServerName::try_from(host.to_owned())?;
    let started = Instant::now();
    let mut stream = connect(addresses, limit)?;
    for limit_of in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        limit_of(&stream, Some(limit))?;
    }
    let mut connection = ClientConnection::new(tls, name)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    Ok(Greeting {
        protocol: connection.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
        certificate: shown.map(|der| Certificate::read(der)).unwrap_or_default(),
        took: started.elapsed(),
    })
}

/// The first address that answers.
fn connect(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
