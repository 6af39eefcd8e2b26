//! The body of an answer on its way out: slices of one shared buffer, counted, and broken where a fault says so.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::wire::{BreakOff, Grip};
use crate::journal::OpenEntry;

/// The most bytes given to the connection at once: large enough for few wake-ups, small enough for an even flow.
const FRAME: usize = 128 * 1024;

/// What happens where the bytes to be sent end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The body ends.
    Clean,
    /// The body ends, and nobody was told where.
    Unannounced,
    /// The connection is broken off.
    BreakOff(BreakOff),
    /// Nothing more comes.
    Stall,
}

/// One body being sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    rest: Bytes,
    ending: Ending,
    /// The connection, and whether it is shared by several streams (HTTP/2).
    grip: Arc<Grip>,
    shared: bool,
    entry: OpenEntry,
}

impl Outgoing {
    pub(crate) fn new(bytes: Bytes, ending: Ending, grip: Arc<Grip>, shared: bool, entry: OpenEntry) -> Self {
        Self { rest: bytes, ending, grip, shared, entry }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.is_empty() {
            return match self.ending {
                Ending::Clean | Ending::Unannounced => Poll::Ready(None),
                Ending::Stall => Poll::Pending,
                Ending::BreakOff(how) => {
                    self.grip.break_off(how);
                    if self.shared {
                        // A reset stream makes the connection write, and so break off.
                        return Poll::Ready(Some(Err(io::Error::other("broken off by a scripted fault"))));
                    }
                    // HTTP/1.1 flushes the connection right after a pending body, and it breaks off there.
                    Poll::Pending
                }
            };
        }
        let size = self.rest.len().min(FRAME);
        let frame = self.rest.split_to(size);
        self.entry.sent(size);
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.ending == Ending::Clean
    }

    fn size_hint(&self) -> SizeHint {
        match self.ending {
            Ending::Clean => SizeHint::with_exact(self.rest.len() as u64),
            Ending::Unannounced | Ending::BreakOff(_) | Ending::Stall => SizeHint::default(),
        }
    }
}
