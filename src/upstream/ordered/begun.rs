//! A blob whose parts are asked for before its head has come.

use std::sync::Arc;

use futures_util::FutureExt;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Ordered, Reading};
use crate::http::Body;
use crate::upstream::fetch::{Source, Span};
use crate::upstream::plan::{LEAST, Plan};
use crate::upstream::width::Width;

/// A blob whose length is known before it is asked for: its other parts are on the way while its first is awaited.
pub(in crate::upstream) struct Begun(Ordered);

impl Begun {
    /// Asks for all parts of a blob of `length` bytes but the first, over a line on which one connection is slow.
    ///
    /// `limited`: each connection has a rate of its own from its first byte on.
    pub(in crate::upstream) fn new(source: Source, length: u64, limited: bool) -> Self {
        let part_size = source.upstream.blobs.part_size;
        let width = Width::new(source.upstream.blobs.connections, source.upstream.learnt(), true, Instant::now());
        let width = width.get() as u64;
        let (plan, first) = if limited {
            let first = length.div_ceil(width).clamp(LEAST, part_size.max(LEAST)).min(length);
            (Plan::new(first..length, part_size), first)
        } else {
            Plan::growing(length, width, part_size)
        };
        let mut ordered = Ordered::new(source, Span { position: 0, end: length }, first, true);
        ordered.plan = plan;
        ordered.ask_ahead();
        Self(ordered)
    }

    /// The same for a blob that nobody reads yet: nothing of its parts is read before somebody does.
    pub(in crate::upstream) fn held_back(mut source: Source, length: u64, limited: bool) -> Self {
        let (asked, held_back) = oneshot::channel();
        source.held_back = Some(held_back.shared());
        let mut begun = Self::new(source, length, limited);
        begun.0.asked = Some(asked);
        begun
    }

    /// The bytes that the first part has.
    pub(in crate::upstream) fn first(&self) -> Span {
        Span { position: 0, end: self.0.part_end }
    }

    /// Where all parts come from.
    pub(in crate::upstream) fn source(&self) -> &Source {
        &self.0.source
    }

    /// The whole, now that the first part has been opened.
    pub(in crate::upstream) fn with(mut self, body: Body) -> Body {
        self.0.reading = Reading::Directly(Arc::clone(&self.0.source).stream(self.first(), body));
        self.0.boxed_unsync()
    }
}
