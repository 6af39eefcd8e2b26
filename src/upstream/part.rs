//! One part of a blob that is fetched while another is being read.
//!
//! A part that is read ahead is read by a task of its own, into memory that was reserved for all of it. When its turn has
//! come, what is left of it is handed over and read directly, so that the bytes of a stream that is not ahead of its
//! reader take no detour. Dropping a part ends its task, its request and its reservation at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::fetch::{Source, Span};
use super::memory::Reservation;
use crate::error::BoxError;
use crate::http::Body;

/// What a task hands to the reader, in order.
pub(super) enum Item {
    /// Bytes that were read ahead.
    Data(Bytes),
    /// The rest, to be read directly.
    Rest(Body),
    /// Why there is no more.
    Failed(BoxError),
}

/// A part on its way.
pub(super) struct Ahead {
    items: UnboundedReceiver<Item>,
    turn: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    begun: Arc<AtomicBool>,
    pub(super) span: Span,
    /// What it holds of the daemon's memory; nothing for a part that waits at the blob host.
    pub(super) held: Option<Reservation>,
}

impl Ahead {
    /// Sets a part going. What is read ahead is counted as arrived here; what is read directly is its reader's to count.
    pub(super) fn fetch(source: &Arc<Source>, span: Span, held: Option<Reservation>) -> Self {
        Self::start(source, (span, None), held)
    }

    /// The same for a part whose body has been opened.
    pub(super) fn go_on(source: &Arc<Source>, (span, body): (Span, Body), held: Reservation) -> Self {
        let body = Arc::clone(source).stream(span, body);
        Self::start(source, (span, Some(body)), Some(held))
    }

    fn start(source: &Arc<Source>, (span, body): (Span, Option<Body>), held: Option<Reservation>) -> Self {
        let (sender, items) = unbounded_channel();
        let (turn, its_turn) = oneshot::channel();
        let begun = Arc::new(AtomicBool::new(false));
        let work = Work { source: Arc::clone(source), span, ahead: held.is_some() };
        let task = tokio::spawn(work.run(body, sender, (its_turn, Arc::clone(&begun))).in_current_span());
        Self { items, turn: Some(turn), task, begun, span, held }
    }

    /// Whether its first byte has come, or never will.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed) || self.task.is_finished()
    }

    /// Whether bytes are still to come.
    pub(super) fn is_open(&self) -> bool {
        !self.task.is_finished()
    }

    /// What comes next of it. From the first call on it is its turn.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        if let Some(turn) = self.turn.take() {
            // A task that has ended has handed over everything.
            turn.send(()).ok();
        }
        self.items.poll_recv(cx)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Work {
    source: Arc<Source>,
    span: Span,
    ahead: bool,
}

impl Work {
    async fn run(
        self,
        body: Option<Body>,
        to: UnboundedSender<Item>,
        (mut turn, begun): (oneshot::Receiver<()>, Arc<AtomicBool>),
    ) {
        let result = self.read(body, &to, &mut turn, &begun).await;
        // A reader that is gone has taken this task with it, so there is nobody to be told of a failed hand-over.
        let last = match result {
            Ok(Some(rest)) => Item::Rest(rest),
            Ok(None) => return,
            Err(error) => Item::Failed(error),
        };
        to.send(last).ok();
    }

    /// Reads until the end, or until it is its turn and the rest is to be read directly.
    async fn read(
        &self,
        body: Option<Body>,
        to: &UnboundedSender<Item>,
        turn: &mut oneshot::Receiver<()>,
        begun: &AtomicBool,
    ) -> Result<Option<Body>, BoxError> {
        let mut body = match body {
            Some(body) => body,
            None => Arc::clone(&self.source).open(self.span).await?,
        };
        if !self.ahead {
            begun.store(true, Ordering::Relaxed);
            return Ok(Some(body));
        }
        if let Some(held_back) = self.source.held_back.clone() {
            // Whoever would have read it may be gone, and this task with it.
            held_back.await.ok();
        }
        loop {
            let frame = tokio::select! {
                biased;
                _ = &mut *turn => return Ok(Some(body)),
                frame = body.frame() => frame,
            };
            let Some(frame) = frame else { return Ok(None) };
            let Ok(data) = frame?.into_data() else { continue };
            begun.store(true, Ordering::Relaxed);
            self.source.upstream.arrived.fetch_add(data.len() as u64, Ordering::Relaxed);
            // What arrives is a slice of a read buffer, which it would keep alive as a whole. A copy takes as much memory
            // as was reserved for it, and a fraction of what decrypting the bytes took.
            if to.send(Item::Data(Bytes::copy_from_slice(&data))).is_err() {
                return Ok(None);
            }
        }
    }
}
