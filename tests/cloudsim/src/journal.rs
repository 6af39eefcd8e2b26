//! What the cloud was asked: one entry per request, in order of arrival, for tests to assert on afterwards.
//!
//! It records names of headers and query parameters and whether an `Authorization` came, never the value of one. It must
//! not be used to decide anything inside the simulator.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, StatusCode, Version};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

/// The most entries kept; a benchmark makes millions of requests and its journal must not be what it measures.
const MOST_ENTRIES: usize = 200_000;

/// The simulated services, as requests are told apart by the host they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Security Token Service, `sts*.aliyuncs.com`.
    Sts,
    /// Container Registry's API, `cr*.aliyuncs.com`.
    Cr,
    /// The ECS metadata service, on its own plain port.
    Imds,
    /// The token realm, whatever host it stands on.
    Realm,
    /// A registry domain of an instance.
    Registry,
    /// A bucket of the Object Storage Service.
    Oss,
    /// A host nobody serves here: answered 421.
    Stranger,
}

/// One request as it came, and what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Which service it reached.
    pub service: Service,
    /// The request method.
    pub method: Method,
    /// The host it named, lower case, without port.
    pub host: String,
    /// The path as it came.
    pub path: String,
    /// The query as it came, without `?`; it may hold signatures, so print [`Entry::query_names`] instead.
    pub query: String,
    /// The API action (`x-acs-action`, or `Action` in query or form), where there is one.
    pub action: Option<String>,
    /// Names of all header lines, lower case, in order.
    pub header_names: Vec<String>,
    /// The scheme word of `Authorization`, where one was sent (`Bearer`, `Basic`, `ACS3-HMAC-SHA256`).
    pub authorization: Option<String>,
    /// The `Range` header, where one was sent.
    pub range: Option<String>,
    /// The server name of the TLS handshake, where there was one.
    pub tls_name: Option<String>,
    /// Whether the TLS handshake resumed an earlier session.
    pub tls_resumed: bool,
    /// HTTP version of the request.
    pub version: Version,
    /// The client's address.
    pub peer: SocketAddr,
    /// Number of the connection it came on, counted from 1 over the life of the simulator.
    pub connection: u64,
    /// The cloud's time of arrival.
    pub at: Timestamp,
    /// The node's monotonic time of arrival.
    pub arrived: Instant,
    /// The status answered; `None` while no head was sent.
    pub status: Option<u16>,
    /// Body bytes handed to the connection so far.
    pub bytes_sent: u64,
    /// Whether the exchange is over: the body was sent to its end, or was given up.
    pub over: bool,
}

impl Entry {
    /// The names of the query's parameters, in order, without values.
    pub fn query_names(&self) -> impl Iterator<Item = &str> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
    }
}

/// A shared handle on the journal.
#[derive(Debug, Clone)]
pub struct Journal {
    pages: Arc<Mutex<Pages>>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Pages {
    /// Number of the oldest entry kept.
    first: u64,
    entries: VecDeque<Entry>,
}

/// An entry whose exchange is still going on. Its outcome is added here; dropping it ends the exchange, however it ended.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    journal: Journal,
    number: u64,
    sent: u64,
}

impl OpenEntry {
    /// Notes the status of the head.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.journal.amend(self.number, |entry| entry.status = Some(status.as_u16()));
    }

    /// Notes more body bytes.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        let sent = self.sent;
        self.journal.amend(self.number, |entry| entry.bytes_sent = sent);
    }
}

impl Drop for OpenEntry {
    fn drop(&mut self) {
        self.journal.amend(self.number, |entry| entry.over = true);
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self { pages: Arc::default(), changes: watch::Sender::new(0) }
    }
}

impl Journal {
    /// Every entry, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.filter(|_| true)
    }

    /// The entries of one service.
    #[must_use]
    pub fn of(&self, service: Service) -> Vec<Entry> {
        self.filter(|entry| entry.service == service)
    }

    /// The entries that `wanted` picks.
    #[must_use]
    pub fn filter(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.pages().entries.iter().filter(|entry| wanted(entry)).cloned().collect()
    }

    /// How many requests a service received.
    #[must_use]
    pub fn count(&self, service: Service) -> usize {
        self.count_where(|entry| entry.service == service)
    }

    /// How many requests named this API action.
    #[must_use]
    pub fn count_action(&self, action: &str) -> usize {
        self.count_where(|entry| entry.action.as_deref() == Some(action))
    }

    /// How many entries `wanted` picks.
    #[must_use]
    pub fn count_where(&self, wanted: impl Fn(&Entry) -> bool) -> usize {
        self.pages().entries.iter().filter(|entry| wanted(entry)).count()
    }

    /// The entries of a service that carried an `Authorization` header; for OSS this must always be empty.
    #[must_use]
    pub fn authorizations_at(&self, service: Service) -> Vec<Entry> {
        self.filter(|entry| entry.service == service && entry.authorization.is_some())
    }

    /// How many connections brought requests for a service.
    #[must_use]
    pub fn connections(&self, service: Service) -> usize {
        let mut seen: Vec<u64> = self.of(service).iter().map(|entry| entry.connection).collect();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    }

    /// Forgets everything so far.
    pub fn clear(&self) {
        let mut pages = self.pages();
        pages.first += pages.entries.len() as u64;
        pages.entries.clear();
    }

    /// Waits until `holds` is true of the entries; it is asked again after every change. It must look at what it is given
    /// only, not at the journal. Give it a timeout from outside.
    pub async fn wait_for(&self, holds: impl Fn(&[Entry]) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if holds(self.pages().entries.make_contiguous()) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn begin(&self, entry: Entry) -> OpenEntry {
        let number = {
            let mut pages = self.pages();
            if pages.entries.len() == MOST_ENTRIES {
                pages.entries.pop_front();
                pages.first += 1;
            }
            pages.entries.push_back(entry);
            pages.first + pages.entries.len() as u64 - 1
        };
        self.announce();
        OpenEntry { journal: self.clone(), number, sent: 0 }
    }

    fn amend(&self, number: u64, change: impl FnOnce(&mut Entry)) {
        {
            let mut pages = self.pages();
            let place = number.checked_sub(pages.first).and_then(|place| usize::try_from(place).ok());
            // An entry that was cleared meanwhile needs no outcome.
            let Some(entry) = place.and_then(|place| pages.entries.get_mut(place)) else { return };
            change(entry);
        }
        self.announce();
    }

    fn announce(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
