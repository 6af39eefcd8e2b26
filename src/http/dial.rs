//! Opens TCP connections: resolves, tries the addresses with a head start for the first, and buffers reads.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::resolve::Resolver;
use super::tried::Tried;
use crate::error::BoxError;

/// How long one address is waited for before the next is tried beside it (RFC 8305 recommends 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// Bytes read from the socket at once. rustls asks for 4 KiB at a time, which would cost a system call for each; 64 KiB
/// holds four full TLS records and is still small beside what one blob stream holds in the socket itself.
const READ_BUFFER: usize = 64 * 1024;

/// What every connection is dialled with.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    resolver: Arc<Resolver>,
    tried: Arc<Tried>,
}

/// Dials the host of a URL, once.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    dialer: Dialer,
    /// Addresses to leave out.
    without: Vec<SocketAddr>,
    /// Until when the name must have an address.
    deadline: Instant,
    /// Where a connection came about, for whoever goes on with it.
    dialled: watch::Sender<Option<Dialled>>,
}

/// An address that took a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialled {
    pub(super) address: SocketAddr,
    /// Whether the name has other addresses that were not left out.
    pub(super) has_others: bool,
}

impl Dialer {
    pub(super) fn new(resolver: Arc<Resolver>, tried: Arc<Tried>) -> Self {
        Self { resolver, tried }
    }

    /// For one connection, without these addresses, to a name that has one at the `deadline`; and who learns where it came
    /// about. How long connecting takes is up to the caller.
    pub(super) fn once(&self, without: &[SocketAddr], deadline: Instant) -> (Dial, watch::Receiver<Option<Dialled>>) {
        let (dialled, learns) = watch::channel(None);
        (Dial { dialer: self.clone(), without: without.to_vec(), deadline, dialled }, learns)
    }

    /// What was dialled is of no use.
    pub(super) fn lost(&self, address: SocketAddr) {
        self.tried.lost(address);
    }
}

impl tower::Service<Uri> for Dial {
    type Response = Socket;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { dialer: Dialer { resolver, tried }, without, deadline, dialled } = self.clone();
        Box::pin(async move {
            let host = uri.host().ok_or_else(|| io::Error::other("the URL has no host"))?;
            let default = if uri.scheme_str() == Some("http") { 80 } else { 443 };
            let mut addresses = resolver.addresses(host, uri.port_u16().unwrap_or(default), deadline).await?;
            addresses.retain(|address| !without.contains(address));
            let has_others = addresses.len() > 1;
            let stream = connect(&tried.in_order(addresses), &tried).await?;
            dialled.send_replace(stream.peer_addr().ok().map(|address| Dialled { address, has_others }));
            // Requests are single small writes; waiting to fill a segment only delays them.
            stream.set_nodelay(true)?;
            Ok(Socket(TokioIo::new(BufReader::with_capacity(READ_BUFFER, stream))))
        })
    }
}

/// The first connection that succeeds; addresses join the race one by one (RFC 8305 section 5). Those that began before
/// the winner and did not win are remembered.
async fn connect(addresses: &[SocketAddr], tried: &Tried) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut racing = FuturesUnordered::new();
    let mut begun: Vec<SocketAddr> = Vec::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(&address) => {
                begun.push(address);
                racing.push(async move { (address, TcpStream::connect(address).await) });
            }
            None if racing.is_empty() => return Err(failure),
            None => {}
        }
        let last = waiting.len() == 0;
        tokio::select! {
            Some((address, result)) = racing.next() => match result {
                Ok(stream) => {
                    tried.won(address, &begun);
                    return Ok(stream);
                }
                Err(error) => failure = error,
            },
            () = sleep(HEAD_START), if !last => {}
        }
    }
}

/// A TCP connection whose reads are buffered.
#[derive(Debug)]
pub(super) struct Socket(TokioIo<BufReader<TcpStream>>);

impl Socket {
    /// The TCP connection, to look at.
    pub(super) fn tcp(&self) -> &TcpStream {
        self.0.inner().get_ref()
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use tokio::time::Instant;

    use super::{HEAD_START, connect};
    use crate::http::tried::Tried;

    /// An address whose kernel drops every further attempt: the queue of a listener that accepts nobody is full.
    async fn unanswering() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            queued.push(stream);
        }
        (address, queued, listener)
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = (open.local_addr().unwrap(), open);
        let tried = Tried::default();
        let stream = connect(&[closed, open.0], &tried).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.0);
        assert!(connect(&[closed], &tried).await.is_err());
        assert!(connect(&[], &tried).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_costs_its_head_start_once() {
        let (silent, _queued, _listener) = unanswering().await;
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let both = vec![silent, open.local_addr().unwrap()];
        let tried = Tried::default();
        for (turn, expected) in [("first", HEAD_START), ("second", Duration::ZERO)] {
            let begun = Instant::now();
            let stream = connect(&tried.in_order(both.clone()), &tried).await.unwrap();
            let took = begun.elapsed();
            assert_eq!(stream.peer_addr().unwrap(), both[1]);
            assert!(took >= expected && took < expected + HEAD_START, "{turn}: {took:?}");
        }
    }
}
