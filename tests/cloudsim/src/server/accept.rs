//! Listening: one TLS port for every https name, told apart by server name, and one plain port for the metadata service.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::HandshakeKind;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::LazyConfigAcceptor;

use super::World;
use super::exchange::{Connection, exchange};
use super::raw::{drip, frames, speak};
use super::wire::{Grip, ResetOnClose, Wire};
use crate::fault::{Effect, Target};
use crate::journal::Service;
use crate::pace::{CONNECT_ROUND_TRIPS, Pace};
use crate::pki::TlsFaces;

/// Rest after a failed accept (out of file descriptors, mostly), which would fail again at once.
const ACCEPT_REST: Duration = Duration::from_millis(10);

/// Numbers connections over both ports.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// Serves the TLS port until dropped, and its connections with it.
pub(crate) async fn serve_tls(listener: TcpListener, world: Arc<World>, faces: TlsFaces) {
    accept(&listener, |stream, peer| tls_connection(stream, peer, Arc::clone(&world), faces.clone())).await;
}

/// Serves the metadata service's port until dropped, and its connections with it.
pub(crate) async fn serve_metadata(listener: TcpListener, world: Arc<World>) {
    accept(&listener, |stream, peer| {
        let connection = Connection::plain(peer, NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed));
        serve(stream, Pace::default(), connection, Arc::clone(&world))
    })
    .await;
}

async fn accept<F>(listener: &TcpListener, start: impl Fn(TcpStream, SocketAddr) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(start(stream, peer));
                }
                Err(_) => sleep(ACCEPT_REST).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn tls_connection(stream: TcpStream, peer: SocketAddr, world: Arc<World>, faces: TlsFaces) {
    // Whoever breaks a handshake off hears of it on its own side; there is no request to answer.
    drop(handshake_and_serve(stream, peer, world, faces).await);
}

async fn handshake_and_serve(
    stream: TcpStream,
    peer: SocketAddr,
    world: Arc<World>,
    faces: TlsFaces,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let name = start.client_hello().server_name().map(str::to_ascii_lowercase);
    let host = name.as_deref().unwrap_or_default();
    let service = world.service_of(host, "/");
    let pace = world.paces.of(service);
    if !pace.round_trip.is_zero() {
        sleep(pace.round_trip * CONNECT_ROUND_TRIPS).await;
    }
    let target = Target { service, host, method: None, path: None, action: None };
    let face = match world.faults.strike_connection(&target) {
        Some(Effect::RefuseConnection) => return Ok(()),
        Some(Effect::Raw { first, again }) => {
            return speak(start.into_stream(faces.http1).await?, &first, &again).await;
        }
        Some(Effect::Drip(first)) => return drip(start.into_stream(faces.http1).await?, &first).await,
        Some(Effect::Frames { first, again }) => {
            return frames(start.into_stream(faces.both).await?, &first, &again).await;
        }
        Some(_) => faces.wrong_name,
        None if service == Service::Oss => faces.http1,
        None => faces.both,
    };
    let stream = start.into_stream(face).await?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    let connection = Connection::tls(peer, NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed), name, resumed);
    serve(stream, pace, connection, world).await;
    Ok(())
}

/// Serves the requests of one connection.
async fn serve<S>(stream: S, pace: Pace, connection: Connection, world: Arc<World>)
where
    S: AsyncRead + AsyncWrite + ResetOnClose + Unpin + Send + 'static,
{
    let grip = Arc::new(Grip::default());
    let wire = Wire::new(stream, pace, Arc::clone(&grip));
    let connection = Arc::new(connection);
    let service =
        service_fn(move |request| exchange(Arc::clone(&world), Arc::clone(&connection), Arc::clone(&grip), request));
    // A connection that ends in an error was broken off by a fault or by the client: the journal has its requests.
    drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(wire), service).await);
}
