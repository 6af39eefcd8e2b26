//! Answers that are written as bytes, whether they are HTTP or not.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::server::TlsStream;

/// Between two bytes of a drip.
const DROP: Duration = Duration::from_secs(1);

/// What a client of HTTP/2 says first (RFC 9113 section 3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// The head of a frame: three bytes of length, its type, its flags, and four bytes that name the stream.
const FRAME_HEAD: usize = 9;

/// The type of the frame that opens a request.
const HEADERS: u8 = 1;

/// An empty SETTINGS frame, which a server has to send first.
const SETTINGS: [u8; FRAME_HEAD] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads one request, says `first` and then `again` without end, or closes.
pub(super) async fn speak(mut stream: TlsStream<TcpStream>, first: &[u8], again: &[u8]) -> io::Result<()> {
    request(&mut stream).await?;
    say(&mut stream, first, again).await?;
    stream.shutdown().await
}

/// Reads one request, says `first` and then a byte a second.
pub(super) async fn drip(mut stream: TlsStream<TcpStream>, first: &[u8]) -> io::Result<()> {
    request(&mut stream).await?;
    say(&mut stream, first, &[]).await?;
    loop {
        sleep(DROP).await;
        say(&mut stream, b" ", &[]).await?;
    }
}

/// Reads one request over HTTP/2, says `first` and then `again` without end, or listens until the client goes away.
pub(super) async fn frames(mut stream: TlsStream<TcpStream>, first: &[u8], again: &[u8]) -> io::Result<()> {
    stream.read_exact(&mut [0; PREFACE]).await?;
    say(&mut stream, &SETTINGS, &[]).await?;
    loop {
        let mut head = [0; FRAME_HEAD];
        stream.read_exact(&mut head).await?;
        let [long, middle, short, kind, ..] = head;
        let length = u32::from_be_bytes([0, long, middle, short]);
        let payload = &mut vec![0; usize::try_from(length).map_err(io::Error::other)?];
        stream.read_exact(payload).await?;
        if kind == HEADERS {
            break;
        }
    }
    // What the client says meanwhile is not read where it is flooded: a client that waits to be read is stuck too.
    say(&mut stream, first, again).await?;
    while stream.read_u8().await.is_ok() {}
    Ok(())
}

async fn request(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    Ok(())
}

async fn say(stream: &mut TlsStream<TcpStream>, first: &[u8], again: &[u8]) -> io::Result<()> {
    stream.write_all(first).await?;
    stream.flush().await?;
    while !again.is_empty() {
        stream.write_all(again).await?;
    }
    Ok(())
}
