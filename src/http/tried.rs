//! Which addresses did not answer of late.
//!
//! A name with several addresses is dialled at the first that is not known to be dead, so that an address or a family
//! without a route costs its head start once in a while and not with every connection of every blob.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an address that lost stands behind the others. Routes come back within minutes; a fourth of a second a
/// minute is what it costs to notice.
const BEHIND: Duration = Duration::from_secs(60);

/// Most addresses that are remembered; a node uses a few dozen.
const MOST: usize = 256;

/// The addresses that lost against another, and when.
#[derive(Debug, Default)]
pub(super) struct Tried(Mutex<HashMap<SocketAddr, Instant>>);

impl Tried {
    /// The same addresses, those that lost of late at the end; otherwise in their order.
    pub(super) fn in_order(&self, addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        if addresses.len() < 2 {
            return addresses;
        }
        let lost = self.behind();
        let is_behind = |address: &SocketAddr| lost.get(address).is_some_and(|since| since.elapsed() < BEHIND);
        let (behind, mut ahead): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_behind);
        ahead.extend(behind);
        ahead
    }

    /// `winner` answered first of those that were begun.
    pub(super) fn won(&self, winner: SocketAddr, begun: &[SocketAddr]) {
        let mut lost = self.behind();
        lost.remove(&winner);
        if begun.len() > 1 && lost.len() >= MOST {
            lost.retain(|_, since| since.elapsed() < BEHIND);
        }
        for address in begun.iter().filter(|address| **address != winner) {
            if lost.len() < MOST {
                lost.insert(*address, Instant::now());
            }
        }
    }

    /// An address that took a connection is of no use all the same.
    pub(super) fn lost(&self, address: SocketAddr) {
        let mut behind = self.behind();
        if behind.len() >= MOST {
            behind.retain(|_, since| since.elapsed() < BEHIND);
        }
        if behind.len() < MOST {
            behind.insert(address, Instant::now());
        }
    }

    fn behind(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{BEHIND, Tried};

    #[tokio::test(start_paused = true)]
    async fn a_loser_stands_behind_for_a_while_and_the_order_comes_back() {
        let [one, two, three]: [SocketAddr; 3] = [1, 2, 3].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        let all = vec![one, two, three];
        let tried = Tried::default();
        tried.won(two, &[one, two]);
        assert_eq!(tried.in_order(all.clone()), [two, three, one]);
        tokio::time::advance(BEHIND).await;
        assert_eq!(tried.in_order(all.clone()), all);
        tried.won(two, &[one, two]);
        tried.won(one, &[two, one]);
        assert_eq!(tried.in_order(all.clone()), [one, three, two]);
        tried.lost(one);
        assert_eq!(tried.in_order(all), [three, one, two]);
    }
}
