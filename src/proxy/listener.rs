//! Accepting connections, for as long as there are descriptors for them.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The first pause after a failure to accept; doubled while failures go on.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A listener that outlives the failures of single connections and of the node.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    pause: Duration,
}

impl Listener {
    pub(super) const fn new(listener: TcpListener) -> Self {
        Self { listener, pause: FIRST_PAUSE }
    }

    /// The next connection. Where the node is out of descriptors or memory, accepting again at once would only burn a
    /// processor, so there is a pause.
    pub(super) async fn accept(&mut self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
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
}

/// Whether only the connection failed that was being accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
