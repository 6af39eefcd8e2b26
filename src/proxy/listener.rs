//! Accepting connections, for as long as there are descriptors for them; and the end of it, without losing one.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::http::listen::{Listener, Place};

/// The first pause after a failure to accept; doubled while failures go on.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long nobody must have come until the queue counts as empty: many times the round trip of a handshake that began
/// before newcomers were sent elsewhere, on loopback and within a data centre.
const QUIET: Duration = Duration::from_millis(20);

/// How long the queue may take to become empty: it holds 4096 connections at most, and accepting one takes some
/// microseconds.
const PATIENCE: Duration = Duration::from_millis(500);

/// A listener that outlives the failures of single connections and of the node.
#[derive(Debug)]
pub(super) struct Arrivals {
    listener: Listener,
    pause: Duration,
}

impl Arrivals {
    pub(super) const fn new(listener: Listener) -> Self {
        Self { listener, pause: FIRST_PAUSE }
    }

    /// The next connection. Where the node is out of descriptors or memory, accepting again at once would only burn a
    /// processor, so there is a pause.
    pub(super) async fn next(&mut self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok(stream) => {
                    self.pause = FIRST_PAUSE;
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(error = %error, "a connection went before it was served");
                        continue;
                    }
                    return stream;
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(error = %error, pause = ?self.pause, "no connection can be accepted");
                    sleep(self.pause).await;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Takes the newcomers from whoever listened first.
    pub(super) fn lead(&self) {
        if !self.listener.is_inherited() {
            self.listener.send_newcomers_to(Place::Second);
        }
    }

    /// Prepares the end: newcomers go to whoever else listens here, and those who wait already are taken first, since
    /// closing the socket would reset them. `take` is called for each.
    ///
    /// A successor came second. Should connections not cease then, it was this socket that came second, and the one
    /// that stays came first; should they not cease even so, nobody else listens, and newcomers are better refused.
    pub(super) async fn leave(&mut self, mut take: impl FnMut(TcpStream)) {
        if self.listener.is_inherited() {
            return;
        }
        for place in [Place::Second, Place::First] {
            self.listener.send_newcomers_to(place);
            let quiet = async {
                while let Ok(stream) = timeout(QUIET, self.next()).await {
                    take(stream);
                }
            };
            if timeout(PATIENCE, quiet).await.is_ok() {
                return;
            }
        }
    }
}

/// Whether only the connection failed that was being accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
