//! Connections that are opened before they are needed.
//!
//! A new TLS connection costs two or three round trips before its first request. Where a request is foreseeable, its
//! connection is opened meanwhile and lies here until a pool wants one. It is not used for anything but that: no request
//! is sent to keep it alive, and one that nobody wanted is closed after [`LIFETIME`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Uri;
use hyper_rustls::MaybeHttpsStream;

use super::dial::Socket;

/// How long an unused connection is kept; common servers close theirs after 60 s without a request.
const LIFETIME: Duration = Duration::from_secs(45);
/// Most connections that lie ready for one origin: what three layers at once take, four connections each.
const MOST: usize = 12;
/// Most origins; a node has a registry, a realm and a bucket for each of a few instances in use.
const MOST_ORIGINS: usize = 64;

/// A connection of either kind.
pub(super) type Stream = MaybeHttpsStream<Socket>;

/// Connections that lie ready, by scheme and authority.
#[derive(Clone, Default)]
pub(super) struct Ready {
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    origins: HashMap<String, Vec<Place>>,
    last: u64,
}

/// A connection, or the place that was kept for one that is being opened.
struct Place {
    number: u64,
    stream: Option<Stream>,
}

impl Ready {
    /// Takes a connection that is still open, the youngest first.
    pub(super) fn take(&self, uri: &Uri) -> Option<Stream> {
        let mut shelf = self.shelf();
        let places = shelf.origins.get_mut(&origin(uri)?)?;
        while let Some(at) = places.iter().rposition(|place| place.stream.is_some()) {
            let stream = places.remove(at).stream;
            if let Some(stream) = stream.filter(is_open) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps places for connections, so that `wanted` of them lie ready or are being opened; their numbers.
    pub(super) fn keep_places(&self, uri: &Uri, wanted: usize) -> Vec<u64> {
        let Some(origin) = origin(uri) else { return Vec::new() };
        let mut shelf = self.shelf();
        if shelf.origins.len() >= MOST_ORIGINS {
            shelf.origins.retain(|_, places| !places.is_empty());
        }
        if shelf.origins.len() >= MOST_ORIGINS && !shelf.origins.contains_key(&origin) {
            return Vec::new();
        }
        let Shelf { origins, last } = &mut *shelf;
        let places = origins.entry(origin).or_default();
        let mut numbers = Vec::new();
        while places.len() < wanted.min(MOST) {
            *last += 1;
            places.push(Place { number: *last, stream: None });
            numbers.push(*last);
        }
        numbers
    }

    /// Puts a connection into its place until somebody takes it or it is too old; without one, gives the place up.
    pub(super) async fn keep(&self, uri: &Uri, number: u64, stream: Option<Stream>) {
        let Some(origin) = origin(uri) else { return };
        let opened = stream.is_some();
        if let Some(place) = self.shelf().place(&origin, number) {
            place.stream = stream;
        }
        if opened {
            tokio::time::sleep(LIFETIME).await;
        }
        if let Some(places) = self.shelf().origins.get_mut(&origin) {
            places.retain(|place| place.number != number);
        }
    }

    /// How many lie ready.
    #[cfg(test)]
    pub(super) fn count(&self, uri: &Uri) -> usize {
        let shelf = self.shelf();
        let places = origin(uri).and_then(|origin| shelf.origins.get(&origin));
        places.map_or(0, |places| places.iter().filter(|place| place.stream.is_some()).count())
    }

    /// Lets go of all connections to an origin: one of them was closed, and so are those beside it, which cannot always be
    /// seen from here.
    pub(super) fn forget(&self, uri: &Uri) {
        let Some(origin) = origin(uri) else { return };
        if let Some(places) = self.shelf().origins.get_mut(&origin) {
            places.retain(|place| place.stream.is_none());
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn place(&mut self, origin: &str, number: u64) -> Option<&mut Place> {
        self.origins.get_mut(origin)?.iter_mut().find(|place| place.number == number)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("origins", &self.shelf().origins.len()).finish_non_exhaustive()
    }
}

fn origin(uri: &Uri) -> Option<String> {
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

/// Whether the other side has not closed it. What lies in the socket unread (session tickets, HTTP/2 settings) belongs
/// to who uses it, so it is only looked at.
fn is_open(stream: &Stream) -> bool {
    let socket = match stream {
        MaybeHttpsStream::Http(socket) => socket,
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().0.inner(),
    };
    let mut byte = [0; 1];
    let mut byte = tokio::io::ReadBuf::new(&mut byte);
    match socket.tcp().poll_peek(&mut Context::from_waker(Waker::noop()), &mut byte) {
        Poll::Pending => true,
        Poll::Ready(Ok(length)) => length > 0,
        Poll::Ready(Err(_)) => false,
    }
}
