//! Visits: a request that the daemon makes of itself to see whether it still answers.
//!
//! A visit comes in through the accept loop, and is served by the same server and the same column as a pull, on a
//! connection in memory. It needs no port, no place among the connections and no client token, so that neither a busy
//! daemon nor a guarded one is taken for a dead one. Whoever fails it is stuck: no thread runs tasks, the loop has ended, or a lock is never released.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long an answer may take that needs nothing but this process.
const LONGEST: Duration = Duration::from_secs(5);

/// Asks for what no registry has, which is answered from memory and counted among nobody's requests: any answer is a good
/// one.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nuser-agent: watchdog\r\nconnection: close\r\n\r\n";

/// What every answer begins with.
const ANSWER: &[u8] = b"HTTP/1.1 ";

/// Room for the request and for the answer.
const BUFFER: usize = 4096;

/// Pays visits.
#[derive(Debug, Clone)]
pub struct Visitor(mpsc::Sender<DuplexStream>);

/// Where visits arrive.
#[derive(Debug)]
pub struct Visits(mpsc::Receiver<DuplexStream>);

/// The two ends.
#[must_use]
pub fn visits() -> (Visitor, Visits) {
    // A second visit waits until the first was let in.
    let (visitor, visits) = mpsc::channel(1);
    (Visitor(visitor), Visits(visits))
}

impl Visitor {
    /// Whether pulls are answered at this moment.
    pub async fn is_answered(&self) -> bool {
        timeout(LONGEST, self.visit()).await.unwrap_or(false)
    }

    async fn visit(&self) -> bool {
        let (mut near, far) = duplex(BUFFER);
        if self.0.send(far).await.is_err() || near.write_all(REQUEST).await.is_err() {
            return false;
        }
        let mut answer = [0; ANSWER.len()];
        near.read_exact(&mut answer).await.is_ok() && answer == ANSWER
    }
}

impl Visits {
    /// The next visit; waits for ever where nobody pays any.
    pub(super) async fn next(&mut self) -> DuplexStream {
        match self.0.recv().await {
            Some(visit) => visit,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::visits;

    #[tokio::test(start_paused = true)]
    async fn a_visit_is_answered_by_a_loop_that_turns_and_by_no_other() {
        let (visitor, mut visits) = visits();
        let serving = async {
            let mut visit = visits.next().await;
            visit.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
            visit.read_to_end(&mut Vec::new()).await.unwrap();
        };
        assert!(tokio::join!(visitor.is_answered(), serving).0);
        assert!(!visitor.is_answered().await, "let in by nobody");
        drop(visits);
        assert!(!visitor.is_answered().await, "no door");
    }
}
