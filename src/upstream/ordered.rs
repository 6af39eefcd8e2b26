//! The parts of a blob as one body, in order.
//!
//! The first part is read as it comes. Others are asked for as [`Plan`] says, over as many connections as [`Width`] finds
//! worth while. The bytes are those that came from the network, handed on without a copy.

mod begun;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fetch::{BrokenOff, Source, Span};
use super::line::InLine;
use super::memory::{Reservation, Seat};
use super::part::{Ahead, Item};
use super::plan::{Plan, Standing};
use super::turn::Predecessor;
use super::width::{Seen, Width};
use crate::error::BoxError;
use crate::http::Body;
use crate::oci::Digest;
pub(super) use begun::Begun;

/// A blob in parts.
struct Ordered {
    source: Arc<Source>,
    seat: Seat,
    width: Width,
    plan: Plan,
    reading: Reading,
    /// Position of the next byte, and where the present part and the whole end.
    position: u64,
    part_end: u64,
    end: u64,
    waiting: VecDeque<Ahead>,
    /// The layer that is begun when all parts of this one have been asked for, and who tells it of this one's end.
    then: Option<Digest>,
    predecessor: Option<Predecessor>,
    /// Where nobody is begun early: the place among the layers of the image, and the wait for those before.
    in_line: Option<InLine>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Told at the first look for bytes, where nothing is read before.
    asked: Option<oneshot::Sender<()>>,
}

/// The part that is being read.
enum Reading {
    /// It was asked for by whoever will read it.
    Awaited,
    Directly(Body),
    Ahead(Ahead),
    Ended,
}

/// The body of `whole`, whose first bytes have been opened; `slow`: one connection is likely to be slower than the line.
/// With memory for them, they are read ahead like all others, and at once.
pub(super) fn ordered(
    source: Source,
    whole: Span,
    (first, body, held): (Span, Body, Option<Reservation>),
    slow: bool,
) -> Body {
    let mut ordered = Ordered::new(source, whole, first.end, slow);
    match held {
        None => ordered.reading = Reading::Directly(Arc::clone(&ordered.source).stream(first, body)),
        Some(held) => {
            let part = Ahead::go_on(&ordered.source, (first, body), held);
            ordered.reading = Reading::Ahead(part);
            ordered.ask_ahead();
        }
    }
    ordered.boxed_unsync()
}

impl Ordered {
    fn new(source: Source, whole: Span, first_end: u64, slow: bool) -> Self {
        let source = Arc::new(source);
        let upstream = &source.upstream;
        let width = Width::new(upstream.blobs.connections, upstream.learnt(), slow, Instant::now());
        let plan = Plan::new(first_end..whole.end, upstream.blobs.part_size);
        let seat = upstream.parts.memory.seat();
        // Where one connection is as fast as the line, there is nothing to be gained by an early begin.
        let then = if slow { upstream.after(&source.place, &source.digest) } else { None };
        let in_line =
            if slow || source.is_one_of_several() { None } else { upstream.in_line(&source.place, &source.digest) };
        let wait = in_line.as_ref().and_then(InLine::wait).map(|wait| Box::pin(wait) as _);
        Self {
            source,
            seat,
            width,
            plan,
            reading: Reading::Awaited,
            position: whole.position,
            part_end: first_end,
            end: whole.end,
            waiting: VecDeque::new(),
            then,
            predecessor: None,
            in_line,
            wait,
            asked: None,
        }
    }

    /// Asks for what the plan wants to be asked for now.
    fn ask_ahead(&mut self) {
        if let Some(learnt) = self.width.observe(Instant::now(), self.seen()) {
            self.source.upstream.learn(learnt);
        }
        loop {
            let present = usize::from(match &self.reading {
                Reading::Awaited | Reading::Directly(_) => self.position < self.part_end,
                Reading::Ahead(part) => part.is_open(),
                Reading::Ended => return,
            });
            let held = self.waiting.iter().filter_map(|part| part.held.as_ref()).map(|held| held.bytes());
            let of_present = match &self.reading {
                Reading::Ahead(part) => part.held.as_ref().map_or(0, |held| held.bytes()),
                _ => 0,
            };
            let standing = Standing {
                width: if self.source.is_one_of_several() { 1 } else { self.width.get() },
                open: present + self.waiting.iter().filter(|part| part.is_open()).count(),
                waiting: self.waiting.len(),
                left: self.part_end - self.position,
                unread: self.end - self.position,
                held: of_present + held.sum::<u64>(),
                share: self.seat.share(),
            };
            let Some(mut part) = self.plan.next(&standing) else { return };
            let mut held = None;
            if part.ahead {
                held = self.seat.reserve(part.bytes.end - part.bytes.start);
                if held.is_none() {
                    // Others hold it. The stream goes on with one connection, as the plan has it without memory.
                    let Some(plain) = self.plan.next(&Standing { share: 0, ..standing }) else { return };
                    part = plain;
                }
            }
            self.plan.take(&part);
            let span = Span { position: part.bytes.start, end: part.bytes.end };
            self.source.upstream.parts.metrics.blob_part();
            self.waiting.push_back(Ahead::fetch(&self.source, span, held));
        }
    }

    /// How it goes, for [`Width`].
    fn seen(&self) -> Seen {
        let ahead = self.waiting.iter().filter(|part| part.held.is_some() && part.is_open()).count();
        let present = match &self.reading {
            Reading::Ahead(part) => part.is_open(),
            _ => self.position < self.part_end,
        };
        let steady = self.waiting.iter().all(Ahead::has_begun) && ahead + usize::from(present) == self.width.get();
        let arrived = self.source.upstream.arrived.load(Ordering::Relaxed);
        Seen { arrived, streams: self.seat.streams(), steady }
    }

    /// Begins the layer whose turn comes next, once this one has nothing left to be asked for.
    fn begin_next(&mut self) {
        if self.then.is_some()
            && self.plan.is_dealt_out()
            && let Some(then) = self.then.take()
        {
            self.predecessor = self.source.upstream.begin_turn(&self.source.place, &then);
        }
    }

    /// Goes on with the next part, once the present one is over; false at the end.
    fn turn_to_next(&mut self) -> bool {
        let Some(part) = self.waiting.pop_front() else { return false };
        self.part_end = part.span.end;
        self.reading = Reading::Ahead(part);
        true
    }

    fn note(&mut self, bytes: usize) {
        self.position += bytes as u64;
        if let Some(in_line) = &self.in_line {
            in_line.note(bytes);
        }
        if self.position == self.end {
            self.source.upstream.parts.memory.read.keep(self.source.digest.clone(), (), 1);
            if let Some(predecessor) = self.predecessor.take() {
                // Where nobody listens, what was begun has failed.
                predecessor.send(()).ok();
            }
        }
    }

    fn end(&mut self, error: BoxError) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.reading = Reading::Ended;
        self.waiting.clear();
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for Ordered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(asked) = this.asked.take() {
            // Where no part is held back, nobody listens.
            asked.send(()).ok();
        }
        if let Some(wait) = &mut this.wait {
            ready!(wait.as_mut().poll(cx));
            this.wait = None;
        }
        loop {
            this.ask_ahead();
            this.begin_next();
            let data = match &mut this.reading {
                Reading::Awaited | Reading::Ended => return Poll::Ready(None),
                Reading::Directly(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        this.source.upstream.arrived.fetch_add(data.len() as u64, Ordering::Relaxed);
                        Some(data)
                    }
                    Some(Err(error)) => return this.end(error),
                    None => None,
                },
                Reading::Ahead(part) => match ready!(part.poll_next(cx)) {
                    Some(Item::Data(data)) => {
                        if let Some(held) = &mut part.held {
                            held.release(data.len() as u64);
                        }
                        Some(data)
                    }
                    Some(Item::Rest(body)) => {
                        this.reading = Reading::Directly(body);
                        continue;
                    }
                    Some(Item::Failed(error)) => return this.end(error),
                    None => None,
                },
            };
            if let Some(data) = data {
                this.note(data.len());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if this.position != this.part_end {
                return this.end(BrokenOff::TooShort.into());
            }
            if this.position == this.end {
                this.reading = Reading::Ended;
                return Poll::Ready(None);
            }
            // At least the next part was asked for when the present one was nearly over.
            if !this.turn_to_next() {
                return this.end(BrokenOff::TooShort.into());
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.reading, Reading::Ended) || self.position == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.position.min(self.end))
    }
}
