//! The layer that a client will ask for when one of those it is reading is over, read ahead.
//!
//! containerd reads some layers of an image at a time, in the order of the manifest. Over a long way, the connections of
//! one layer lie idle from the moment that its last part has been asked for until the client has put it away and asks for
//! another. So at that moment the layer whose turn comes next is begun, in parts and into memory that was reserved for it.
//!
//! Only a layer read whole is a sign that others will follow: who reads ranges, or nothing, has no such plan. What nobody
//! asks for is dropped, and what fails is left to the request that needs it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Response};
use tokio::sync::oneshot;
use tracing::Instrument;

use super::blob::Beginning;
use super::document::Descriptor;
use super::line::{InLine, Line};
use super::plan::FIRST;
use super::send::Budget;
use super::warm::LAYERS_AT_ONCE;
use super::{Place, Pull, Upstream, UpstreamError};
use crate::error::chain;
use crate::http::{Body, signed_url};
use crate::oci::{Digest, Resource};

/// How long a layer that was begun waits for its client, once the layer is over for whose end it was begun: until then
/// the client reads, and then it puts away what it has read.
const UNUSED: Duration = Duration::from_secs(10);

/// A layer of a manifest that a client was given.
#[derive(Debug)]
pub(super) struct Turn {
    /// How many bytes it has, as the manifest says.
    size: u64,
    /// The layer whose turn comes when this one is over.
    then: Option<Digest>,
    /// All layers of the image, and which of them this is.
    line: Arc<Line>,
    number: usize,
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

/// Held while the layer is read for whose end another was begun, and told when it was read to its end.
pub(super) type Predecessor = oneshot::Sender<()>;

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
        let line = Arc::<Line>::default();
        for (number, layer) in large.iter().enumerate() {
            let then = large.get(number + LAYERS_AT_ONCE).map(|layer| layer.digest.clone());
            let key = self.key(place, &layer.digest);
            // One that is on its way, for this image or another, stays what it is.
            if self.parts.memory.turns.find(&key).is_some_and(|turn| matches!(*turn.state(), State::Begun(_))) {
                continue;
            }
            let (line, state) = (Arc::clone(&line), Mutex::new(State::Open));
            let turn = Arc::new(Turn { size: layer.size, then, line, number, state });
            self.parts.memory.turns.keep(key, turn, 1);
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
    /// connection there is likely to be slower than the line. And whether that is because of a limit for each.
    pub(super) fn length_ahead(&self, place: &Place, digest: &Digest) -> Option<(u64, bool)> {
        let key = self.key(place, digest);
        let turn = self.parts.memory.turns.find(&key)?;
        let url = self.parts.memory.urls.find(&key)?.uri;
        let limited = url.query().is_some_and(signed_url::is_limited);
        let slow = limited || self.bucket_is_far();
        (slow && self.blobs.connections > 1).then_some((turn.size, limited))
    }

    /// How many bytes a layer has, as the manifest says.
    pub(super) fn size(&self, place: &Place, digest: &Digest) -> Option<u64> {
        self.parts.memory.turns.find(&self.key(place, digest)).map(|turn| turn.size)
    }

    /// The layer whose turn comes when this one is over.
    pub(super) fn after(&self, place: &Place, digest: &Digest) -> Option<Digest> {
        self.parts.memory.turns.find(&self.key(place, digest))?.then.clone()
    }

    /// The place of a layer that is being read among those of its image.
    pub(super) fn in_line(&self, place: &Place, digest: &Digest) -> Option<InLine> {
        let turn = self.parts.memory.turns.find(&self.key(place, digest))?;
        Some(turn.line.join(turn.number))
    }

    /// Begins a layer that nobody has asked for yet, for the end of one that is being read. Needs a runtime.
    ///
    /// It is dropped when that one is given up, or some time after that one's end.
    pub(super) fn begin_turn(self: &Arc<Self>, place: &Place, digest: &Digest) -> Option<Predecessor> {
        let (predecessor, its_end) = oneshot::channel();
        let kept = async {
            if its_end.await.is_ok() {
                tokio::time::sleep(UNUSED).await;
            }
        };
        let begin = |upstream: Arc<Self>, pull: Pull, digest| async move { upstream.begin(&pull, &digest).await };
        self.begin_unasked(place, digest, begin, kept).then_some(predecessor)
    }

    /// Begins a layer that nobody has asked for yet, unless it was begun or asked for before, and drops it when `kept` is
    /// over. Needs a runtime.
    pub(super) fn begin_unasked<F>(
        self: &Arc<Self>,
        place: &Place,
        digest: &Digest,
        begin: impl FnOnce(Arc<Self>, Pull, Digest) -> F,
        kept: impl Future<Output = ()> + Send + 'static,
    ) -> bool
    where
        F: Future<Output = Result<Option<Response<Body>>, UpstreamError>> + Send + 'static,
    {
        let Some(turn) = self.parts.memory.turns.find(&self.key(place, digest)) else { return false };
        let (promise, answer) = oneshot::channel();
        {
            let mut state = turn.state();
            if !matches!(*state, State::Open) {
                return false;
            }
            *state = State::Begun(answer);
        }
        let (resource, headers) = (Resource::Blob(digest.clone()), HeaderMap::new());
        let pull = Pull { place: place.clone(), resource, head: false, sticks: false, headers };
        let begun = begin(Arc::clone(self), pull, digest.clone());
        let digest = digest.clone();
        let begin = async move {
            match begun.await {
                Ok(Some(answer)) => {
                    // A client who has left meanwhile needs none.
                    promise.send(answer).ok();
                    kept.await;
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
        true
    }

    /// The whole of a layer, as it is answered, with its parts on the way into memory; `None` where there is none left.
    async fn begin(self: &Arc<Self>, pull: &Pull, digest: &Digest) -> Result<Option<Response<Body>>, UpstreamError> {
        let Some(held) = self.parts.memory.reserve(FIRST) else { return Ok(None) };
        self.warm_for_layers(&pull.place);
        let opened = self.open_range(pull, digest, None, &Budget::start()).await?;
        self.stream(pull, digest, None, opened, Beginning::Held(held)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::Response;
    use tokio::sync::oneshot;

    use super::{State, Turn};
    use crate::http::body::empty;

    #[test]
    fn what_was_begun_and_not_asked_for_is_dropped_and_may_be_begun_again() {
        let (promise, answer) = oneshot::channel();
        let state = Mutex::new(State::Begun(answer));
        let turn = Turn { size: 1, then: None, line: Arc::default(), number: 0, state };
        turn.give_up();
        assert!(matches!(*turn.state(), State::Open));
        assert!(promise.send(Response::new(empty())).is_err(), "the answer is still held");
        *turn.state() = State::Asked;
        turn.give_up();
        assert!(matches!(*turn.state(), State::Asked));
    }
}
