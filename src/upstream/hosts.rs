//! Which of several registry hosts is asked (`pullFrom`): the first that can be reached, remembered.
//!
//! A host that cannot be connected to, says nothing, leads to a realm or bucket that cannot, or fails again and again,
//! rests, and the next in order is asked. When its rest is over, it and what could not be reached are tried beside the
//! pulls, so that no pull is the one that finds out; a host that fails again soon rests twice as long. The hosts are those
//! that the operator named, so a credential of the instance goes to none but its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::http::origin::Origin;
use crate::oci::{InstanceId, RegistryHost};

/// The first rest: longer than a restart of a gateway or a flap of a route.
const FIRST_REST: Duration = Duration::from_secs(10);

/// The longest rest. A way that is better is missed for this long at most after it was repaired.
const LONGEST_REST: Duration = Duration::from_mins(5);

/// Hosts in order of preference, and how each is.
#[derive(Debug)]
pub(super) struct Hosts {
    instance: InstanceId,
    named: Vec<RegistryHost>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rests: Vec<Rest>,
    /// Which host led to which blob host: a bucket that cannot be reached speaks against the host that leads to it.
    buckets: Vec<Option<String>>,
}

#[derive(Debug, Clone, Default)]
struct Rest {
    until: Option<Instant>,
    length: Duration,
    ended: Option<Instant>,
    /// The realm or bucket behind it that could not be reached, where it was not the host itself.
    behind: Option<Origin>,
    /// Somebody is trying it.
    tried: bool,
}

impl Hosts {
    /// `named`: `pullFrom` of the instance; empty where each domain is asked under its own name.
    pub(super) fn new(instance: InstanceId, named: Vec<RegistryHost>) -> Self {
        let state = State { rests: vec![Rest::default(); named.len()], buckets: vec![None; named.len()] };
        Self { instance, named, state: Mutex::new(state) }
    }

    /// The hosts as they were named.
    pub(super) fn named(&self) -> &[RegistryHost] {
        &self.named
    }

    /// Whom to ask for an image that names `host`: first those that do not rest, each group in its order.
    pub(super) fn order(&self, host: &RegistryHost) -> Vec<RegistryHost> {
        if self.named.is_empty() {
            return vec![host.clone()];
        }
        let state = self.state();
        let (resting, awake): (Vec<_>, Vec<_>) =
            self.named.iter().zip(&state.rests).partition(|(_, rest)| rest.until.is_some());
        awake.into_iter().chain(resting).map(|(host, _)| host.clone()).collect()
    }

    /// Whether there is another host to ask in place of one that led to `bucket`.
    pub(super) fn has_another_than(&self, bucket: &str) -> bool {
        let state = self.state();
        let others = state.buckets.iter().zip(&state.rests);
        self.named.len() > 1
            && others.into_iter().any(|(led, rest)| rest.until.is_none() && led.as_deref() != Some(bucket))
    }

    /// Whether `bucket` is one that only hosts at rest lead to, while another is awake.
    pub(super) fn avoids(&self, bucket: &str) -> bool {
        let state = self.state();
        let led = |is_resting: bool| {
            let mut all = state.buckets.iter().zip(&state.rests);
            all.any(|(led, rest)| rest.until.is_some() == is_resting && led.as_deref() == Some(bucket))
        };
        led(true) && !led(false) && state.rests.iter().any(|rest| rest.until.is_none())
    }

    /// `host` is of no use now: it could not be reached or fails, or else the origin `behind` it could not be reached.
    pub(super) fn failed(&self, host: &RegistryHost, behind: Option<Origin>) {
        let Some(at) = self.named.iter().position(|named| named == host) else { return };
        if self.named.len() > 1
            && let Some(rest) = self.state().rests.get_mut(at)
            && rest.begin()
        {
            tracing::warn!(
                instance = %self.instance, %host, rest = ?rest.length,
                "this host of pullFrom cannot be reached; asking the next"
            );
            rest.behind = behind;
        }
    }

    /// `bucket` could not be reached: whoever leads there is of no use.
    pub(super) fn bucket_failed(&self, bucket: &Origin) {
        let led: Vec<_> = {
            let state = self.state();
            let led = self.named.iter().zip(&state.buckets).filter(|(_, led)| led.as_deref() == Some(bucket.host()));
            led.map(|(host, _)| host.clone()).collect()
        };
        for host in &led {
            self.failed(host, Some(bucket.clone()));
        }
    }

    /// `host` sent a client on to `bucket`.
    pub(super) fn led(&self, host: &RegistryHost, bucket: &str) {
        let Some(at) = self.named.iter().position(|named| named == host) else { return };
        if let Some(led) = self.state().buckets.get_mut(at)
            && led.as_deref() != Some(bucket)
        {
            *led = Some(bucket.to_owned());
        }
    }

    /// A host whose rest is over, and what behind it could not be reached, for the caller to try and to report on.
    pub(super) fn due(&self) -> Option<(RegistryHost, Option<Origin>)> {
        if self.named.len() < 2 {
            return None;
        }
        let now = Instant::now();
        let mut state = self.state();
        let over = |rest: &Rest| !rest.tried && rest.until.is_some_and(|until| until <= now);
        let at = state.rests.iter().position(over)?;
        let rest = state.rests.get_mut(at)?;
        rest.tried = true;
        self.named.get(at).cloned().zip(Some(rest.behind.clone()))
    }

    /// What came of trying `host`, which was due.
    pub(super) fn tried(&self, host: &RegistryHost, reached: bool) {
        let Some(at) = self.named.iter().position(|named| named == host) else { return };
        if let Some(rest) = self.state().rests.get_mut(at) {
            rest.tried = false;
            if reached {
                rest.end();
                tracing::info!(instance = %self.instance, %host, "this host of pullFrom can be reached again");
            } else {
                rest.until = None;
                rest.begin();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    /// Begins a rest, unless there is one. It is twice as long as the last where that ended only a moment ago: a host
    /// that can be connected to may still be of no use. Whether it begins.
    fn begin(&mut self) -> bool {
        if self.until.is_some() {
            return false;
        }
        let recent = self.ended.is_none_or(|ended| ended.elapsed() < LONGEST_REST);
        let length = if recent { self.length * 2 } else { Duration::ZERO };
        self.length = length.clamp(FIRST_REST, LONGEST_REST);
        self.until = Some(Instant::now() + self.length);
        true
    }

    fn end(&mut self) {
        self.until = None;
        self.ended = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests;
