//! Closing a connection so that the other side reads all that was sent.
//!
//! A socket that is closed with unread input answers with a reset, and a reset destroys what is still on its way: a
//! client would lose a refusal, or take a cut body for a broken pull (client fact sheet, section 0.2). So the write side
//! is closed first and the input is read away for a moment.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::http::listen::places::Place;

/// How long input is read away.
const LONGEST: Duration = Duration::from_secs(2);
/// How much of it.
const MOST: u64 = 1024 * 1024;

/// A connection that lingers when it is dropped, and keeps its place meanwhile: the descriptor is open still. To a
/// newcomer it is as good as an idle one.
#[derive(Debug)]
pub(super) struct Lingering {
    /// Present until it is dropped.
    stream: Option<TcpStream>,
    /// The other side has closed: there is nothing left to wait for.
    finished: bool,
    /// Present as long as the stream.
    place: Option<Place>,
}

impl Lingering {
    pub(super) const fn new(stream: TcpStream, place: Place) -> Self {
        Self { stream: Some(stream), finished: false, place: Some(place) }
    }

    /// Notes whether the socket took something.
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Some(place) = &self.place {
            place.life().set_blocked(result.is_pending());
        }
        result
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let result = std::task::ready!(self.stream()?.poll_read(cx, buf));
        self.finished = result.is_err() || (room && buf.filled().len() == before);
        Poll::Ready(result)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write(cx, buf);
        self.wrote(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(TcpStream::is_write_vectored)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = self.stream()?.poll_write_vectored(cx, bufs);
        self.wrote(result)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take().filter(|_| !self.finished) else { return };
        let Some(place) = self.place.take().filter(|place| !place.life().has_given_up()) else { return };
        // Nothing is left that could wait for the socket.
        place.life().set_blocked(false);
        // Without a runtime the process is ending anyway.
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // Nobody is left who could be told that the other side has gone already.
            if stream.shutdown().await.is_ok() {
                tokio::select! {
                    () = read_away(&mut stream) => {}
                    () = place.life().given_up() => {}
                }
            }
            drop((stream, place));
        });
    }
}

async fn read_away(stream: &mut TcpStream) {
    let (mut rest, mut nowhere) = (stream.take(MOST), tokio::io::sink());
    drop(timeout(LONGEST, tokio::io::copy(&mut rest, &mut nowhere)).await);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{Lingering, Place};
    use crate::http::listen::places::Places;

    #[tokio::test]
    async fn unread_input_does_not_destroy_the_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut server = Lingering::new(listener.accept().await.unwrap().0, Place::uncounted());
        client.write_all(&[b'x'; 64 * 1024]).await.unwrap();
        server.read_exact(&mut [0; 1]).await.unwrap();
        server.write_all(b"answer").await.unwrap();
        drop(server);
        client.write_all(&[b'x'; 64 * 1024]).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn its_place_is_taken_until_it_is_closed_and_given_to_a_newcomer_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let places = Places::new(1);
        let place = places.take().unwrap();
        let life = place.life().clone();
        let server = Lingering::new(listener.accept().await.unwrap().0, place);
        let carried = life.carry().unwrap();
        drop(server);
        assert!(places.take().is_none(), "the descriptor is open still");
        drop(carried);
        let _newcomer = places.take().unwrap();
        assert!(life.has_given_up());
        // Far sooner than it would linger: the newcomer is not to be one descriptor too many for long.
        let begun = tokio::time::Instant::now();
        client.read_to_end(&mut Vec::new()).await.unwrap();
        while client.write_all(b"x").await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(begun.elapsed() < super::LONGEST, "{:?}", begun.elapsed());
    }
}
