//! Which of several hosts (`pullFrom`) a pull begins with, where nobody knows yet whether the first of them answers.
//!
//! A host that swallows what is sent to it is found out by its silence only. So the next one is asked beside it soon, and
//! the first that says what it asks of its clients is the one that the pull goes on with. Only this first question is put
//! to several: it shows nobody a login, and costs next to nothing.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::poll_immediate;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

use super::reach::{behind, is_host};
use super::{Upstream, UpstreamError};
use crate::oci::RegistryHost;

/// How long a host may be silent before the next is asked as well: name, TCP, TLS and the answer take four or five round
/// trips, of which even those between continents have less than a fifth of this.
const HEDGE: Duration = Duration::from_secs(1);

/// How the question went.
#[derive(Debug)]
struct Asked<E> {
    /// Which host answered first, if any did.
    first: Option<usize>,
    /// Those of no use.
    failed: Vec<(usize, E)>,
    /// Those that had not said a word by then.
    silent: Vec<usize>,
}

impl Upstream {
    /// `order`, with the first host in front that says what it asks of its clients; the others behind it as a last resort.
    pub(super) async fn answering_first(&self, order: Vec<RegistryHost>) -> Vec<RegistryHost> {
        let [first, _, ..] = &order[..] else { return order };
        if let Some(Ok(())) = poll_immediate(self.parts.tokens.challenged(first)).await {
            return order;
        }
        let asked = ask_in_turn(order.len(), |at| {
            let host = &order[at];
            async move {
                match self.parts.tokens.challenged(host).await.map_err(UpstreamError::Token) {
                    Err(error) if is_host(&error) => Err(error),
                    // What else there is to say, whoever needs its bearer will be told.
                    _ => Ok(()),
                }
            }
        });
        let Asked { first, failed, silent } = asked.await;
        for (at, error) in &failed {
            self.hosts.failed(&order[*at], behind(error, &order[*at]));
        }
        let Some(first) = first else { return order };
        for at in silent {
            self.hosts.failed(&order[at], None);
        }
        let (passed_over, rest) = order.split_at(first);
        rest.iter().chain(passed_over).cloned().collect()
    }
}

/// Asks the first of `count`, and each further one as soon as another has failed or [`HEDGE`] has passed without an answer.
async fn ask_in_turn<E, F>(count: usize, ask: impl Fn(usize) -> F) -> Asked<E>
where
    F: Future<Output = Result<(), E>>,
{
    let mut asking = FuturesUnordered::new();
    let mut waiting: Vec<usize> = Vec::new();
    let mut failed = Vec::new();
    let mut next = 0;
    loop {
        if next < count {
            let (at, answer) = (next, ask(next));
            asking.push(async move { (at, answer.await) });
            waiting.push(at);
            next += 1;
        }
        let answered = tokio::select! {
            biased;
            answered = asking.next() => answered,
            () = sleep(HEDGE), if next < count => continue,
        };
        let Some((at, outcome)) = answered else { return Asked { first: None, failed, silent: waiting } };
        waiting.retain(|other| *other != at);
        match outcome {
            // Those behind it may yet answer; nobody has waited for them.
            Ok(()) => {
                waiting.retain(|other| *other < at);
                return Asked { first: Some(at), failed, silent: waiting };
            }
            Err(error) => failed.push((at, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::{Asked, HEDGE, ask_in_turn};

    const NEVER: Duration = Duration::from_secs(5);
    const SOON: Duration = Duration::from_millis(50);

    /// What comes of hosts that answer, or fail, after so long; and when.
    async fn ask(hosts: &[(Duration, Result<(), ()>)]) -> (Asked<()>, Duration) {
        let begun = Instant::now();
        let asked = ask_in_turn(hosts.len(), |at| async move {
            sleep(hosts[at].0).await;
            hosts[at].1
        });
        (asked.await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_answers_is_the_only_one_that_is_asked() {
        let (asked, took) = ask(&[(HEDGE - SOON, Ok(())), (Duration::ZERO, Ok(()))]).await;
        assert_eq!((asked.first, asked.silent, took), (Some(0), vec![], HEDGE - SOON));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_host_costs_a_second_and_is_told_from_one_that_fails() {
        let (asked, took) = ask(&[(NEVER, Ok(())), (SOON, Err(())), (SOON, Ok(()))]).await;
        assert_eq!((asked.first, asked.silent, took), (Some(2), vec![0], HEDGE + SOON + SOON));
        assert_eq!(asked.failed.iter().map(|(at, ())| *at).collect::<Vec<_>>(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_is_late_and_answers_before_the_next_is_taken_all_the_same() {
        let (asked, took) = ask(&[(HEDGE + SOON, Ok(())), (NEVER, Ok(()))]).await;
        assert_eq!((asked.first, asked.silent, took), (Some(0), vec![], HEDGE + SOON));
    }

    #[tokio::test(start_paused = true)]
    async fn where_none_answers_all_have_been_asked() {
        let (asked, took) = ask(&[(NEVER, Err(())), (SOON, Err(()))]).await;
        assert_eq!((asked.first, asked.failed.len(), asked.silent.len(), took), (None, 2, 0, NEVER));
    }
}
