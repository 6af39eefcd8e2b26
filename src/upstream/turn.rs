//! The layer that a client will ask for when one of those it is reading is over, read ahead.
//!
//! containerd reads some layers of an image at a time, in the order of the manifest. Over a long way, the connections of
//! one layer lie idle from the moment that its last part has been asked for until the client has put it away and asks for
//! another. So at that moment the layer whose turn comes next is begun, in parts and into memory that was reserved for it.
//!
//! Only a layer read whole is a sign that others will follow: who reads ranges, or nothing, has no such plan. What nobody
//! asks for is dropped, and what fails is left to the request that needs it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Response};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::blob::Beginning;
use super::document::Descriptor;
use super::plan::FIRST;
use super::range::RangeRequest;
use super::send::Budget;
use super::warm::LAYERS_AT_ONCE;
use super::{Place, Pull, Upstream, UpstreamError};
use crate::error::chain;
use crate::http::{Body, signed_url};
use crate::oci::{Digest, Resource};

/// How long a layer that was begun waits for its client, who asks when one of the layers before it has been put away.
const UNUSED: Duration = Duration::from_secs(10);

/// A layer of a manifest that a client was given.
#[derive(Debug)]
pub(super) struct Turn {
    /// How many bytes it has, as the manifest says.
    size: u64,
    /// The layer whose turn comes when this one is over.
    then: Option<Digest>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Nobody has asked for it.
    Open,
    /// It was begun, and its answer is on the way.
    Begun(oneshot::Receiver<Response<Body>>),
    /// A client has asked for it.
    Asked,
}

impl Turn {
    fn state(&self) -> MutexGuard<'_, State> {
        // It is replaced as a whole, so a poisoned lock guards a whole state too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what was begun and not asked for.
    fn give_up(&self) {
        let mut state = self.state();
        if matches!(*state, State::Begun(_)) {
            *state = State::Open;
        }
    }
}

impl Upstream {
    /// Notes in which order the large ones of these blobs will be asked for.
    pub(super) fn line_up(&self, place: &Place, blobs: &[Descriptor]) {
        let large: Vec<_> = blobs.iter().filter(|blob| blob.size > FIRST).collect();
        for (number, layer) in large.iter().enumerate() {
            let then = large.get(number + LAYERS_AT_ONCE).map(|layer| layer.digest.clone());
            let turn = Arc::new(Turn { size: layer.size, then, state: Mutex::new(State::Open) });
            self.parts.memory.turns.keep(self.key(place, &layer.digest), turn, 1);
        }
    }

    /// The answer for a layer that was begun before this request for it.
    pub(super) async fn take_turn(&self, place: &Place, digest: &Digest) -> Option<Response<Body>> {
        let turn = self.parts.memory.turns.find(&self.key(place, digest))?;
        let before = std::mem::replace(&mut *turn.state(), State::Asked);
        match before {
            State::Begun(answer) => answer.await.ok(),
            State::Open | State::Asked => None,
        }
    }

    /// How many bytes a layer has, where all its parts may be asked for at once: it is known where they are, and one
    /// connection there is likely to be slower than the line.
    pub(super) fn length_ahead(&self, place: &Place, digest: &Digest) -> Option<u64> {
        let key = self.key(place, digest);
        let turn = self.parts.memory.turns.find(&key)?;
        let url = self.parts.memory.urls.find(&key)?.uri;
        let slow = self.far.load(Ordering::Relaxed) || url.query().is_some_and(signed_url::is_limited);
        (slow && self.blobs.connections > 1).then_some(turn.size)
    }

    /// The layer whose turn comes when this one is over.
    pub(super) fn after(&self, place: &Place, digest: &Digest) -> Option<Digest> {
        self.parts.memory.turns.find(&self.key(place, digest))?.then.clone()
    }

    /// Begins a layer that nobody has asked for yet. Needs a runtime.
    pub(super) fn begin_turn(self: &Arc<Self>, place: &Place, digest: &Digest) {
        let Some(turn) = self.parts.memory.turns.find(&self.key(place, digest)) else { return };
        let (promise, answer) = oneshot::channel();
        {
            let mut state = turn.state();
            if !matches!(*state, State::Open) {
                return;
            }
            *state = State::Begun(answer);
        }
        let (resource, headers) = (Resource::Blob(digest.clone()), HeaderMap::new());
        let pull = Pull { place: place.clone(), resource, head: false, headers };
        let (upstream, digest) = (Arc::clone(self), digest.clone());
        let begin = async move {
            match upstream.begin(&pull, &digest).await {
                Ok(Some(answer)) => {
                    // A client who has left meanwhile needs none.
                    promise.send(answer).ok();
                    tokio::time::sleep(UNUSED).await;
                }
                Ok(None) => drop(promise),
                Err(error) => {
                    tracing::debug!(%digest, error = chain(&error), "a layer could not be begun before its turn");
                    drop(promise);
                }
            }
            turn.give_up();
        };
        tokio::spawn(begin.in_current_span());
    }

    /// The whole of a layer, as it is answered, with its parts on the way into memory; `None` where there is none left.
    async fn begin(self: &Arc<Self>, pull: &Pull, digest: &Digest) -> Result<Option<Response<Body>>, UpstreamError> {
        let Some(held) = self.parts.memory.reserve(FIRST) else { return Ok(None) };
        self.warm_for_layers(&pull.place);
        let opened = self.open_range(pull, digest, &RangeRequest::Whole, None, &Budget::start()).await?;
        self.stream(pull, digest, &RangeRequest::Whole, opened, Beginning::Held(held)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::Response;
    use tokio::sync::oneshot;

    use super::{State, Turn};
    use crate::http::body::empty;

    #[test]
    fn what_was_begun_and_not_asked_for_is_dropped_and_may_be_begun_again() {
        let (promise, answer) = oneshot::channel();
        let turn = Turn { size: 1, then: None, state: Mutex::new(State::Begun(answer)) };
        turn.give_up();
        assert!(matches!(*turn.state(), State::Open));
        assert!(promise.send(Response::new(empty())).is_err(), "the answer is still held");
        *turn.state() = State::Asked;
        turn.give_up();
        assert!(matches!(*turn.state(), State::Asked));
    }
}
