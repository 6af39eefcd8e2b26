//! What the resolver said of each name last, for when it says nothing (RFC 8767, "serving stale data").
//!
//! A silence is waited for a moment and no longer, as long as the name was told within the last half hour. An answer is
//! always believed, an answer that the name is unknown too.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// How long a resolver may take before what it said last is used: a good one answers in a fraction of it, and its clients ask
/// again only after five (`resolv.conf(5)`, `timeout`).
const SILENT: Duration = Duration::from_secs(1);
/// How long what it said counts then; endpoints of the cloud move in days.
const REMEMBERED: Duration = Duration::from_mins(30);
/// Names remembered; a node talks to some dozen.
const MOST_REMEMBERED: usize = 256;

/// The last answer for each name, and when it came.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>);

impl Said {
    /// The answer, or where there is none for [`SILENT`], the last one. The ports are whatever was asked with.
    ///
    /// # Errors
    /// What the resolver fails with. It never ends by itself where a name that is not remembered gets no answer.
    pub(super) async fn or_last(
        &self,
        host: &str,
        asked: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    ) -> io::Result<Vec<SocketAddr>> {
        let mut asked = pin!(asked);
        let found = match timeout(SILENT, &mut asked).await {
            Ok(found) => found?,
            Err(_) => {
                let remembered = self.all().get(host).filter(|(at, _)| at.elapsed() < REMEMBERED).cloned();
                match remembered {
                    Some((_, found)) => {
                        tracing::debug!(host, "the resolver is silent, and what it said last is used");
                        return Ok(found);
                    }
                    None => asked.await?,
                }
            }
        };
        let mut all = self.all();
        if all.len() >= MOST_REMEMBERED {
            all.clear();
        }
        all.insert(host.to_owned(), (Instant::now(), found.clone()));
        Ok(found)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<SocketAddr>)>> {
        // Each change is one call, so a poisoned lock guards a whole map too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{REMEMBERED, SILENT, Said};

    fn at(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([203, 0, 113, last], 443))]
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_is_taken_at_its_last_word_and_an_answer_at_its_word() {
        let said = Said::default();
        let silent = |host: &'static str| {
            let asked = said.or_last(host, std::future::pending());
            tokio::time::timeout(Duration::from_secs(5), asked)
        };
        assert!(silent("registry.test").await.is_err(), "nobody has ever told");
        assert_eq!(said.or_last("registry.test", std::future::ready(Ok(at(7)))).await.unwrap(), at(7));
        assert!(silent("other.test").await.is_err());

        let begun = Instant::now();
        assert_eq!(silent("registry.test").await.unwrap().unwrap(), at(7));
        assert_eq!(begun.elapsed(), SILENT);
        // Late is better than what was said before.
        let soon = async {
            tokio::time::sleep(SILENT / 2).await;
            Ok(at(8))
        };
        assert_eq!(said.or_last("registry.test", soon).await.unwrap(), at(8));
        assert_eq!(silent("registry.test").await.unwrap().unwrap(), at(8));

        let nowhere = std::future::ready(Err(io::Error::other("no such name")));
        assert!(said.or_last("registry.test", nowhere).await.is_err());
        tokio::time::advance(REMEMBERED).await;
        assert!(silent("registry.test").await.is_err(), "that is too long ago");
    }
}
