//! The server's end of one connection: paces what is written and breaks off where a fault says so.
//!
//! It knows bytes only, nothing of HTTP. A break-off happens after everything written before it was flushed, so that
//! "cut after n bytes" means n bytes on the wire.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use crate::pace::{INITIAL_WINDOW, LARGEST_WINDOW, LEAST_RTO, Pace};

/// Writes that come late, because a timer has a grain of a millisecond, may catch up by this much.
const CATCH_UP: Duration = Duration::from_millis(5);

/// The most time one paced write may be worth, so that the rate is even within a few milliseconds.
const QUANTUM: Duration = Duration::from_millis(4);

/// The least a paced write carries: one TCP segment.
const SMALLEST_WRITE: usize = 1_460;

/// How a connection ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakOff {
    /// With FIN: the peer sees an end.
    Fin,
    /// With RST: the peer sees a reset.
    Reset,
}

/// The hand on a connection that answers hold while they are being sent.
#[derive(Debug, Default)]
pub(crate) struct Grip {
    /// 0 none, 1 FIN, 2 RST.
    armed: AtomicU8,
    /// Bytes per second asked for by the present answer; 0 is no limit.
    limit: AtomicU64,
}

impl Grip {
    /// Breaks the connection off as soon as everything written so far has left.
    pub(crate) fn break_off(&self, how: BreakOff) {
        self.armed.store(if how == BreakOff::Fin { 1 } else { 2 }, Ordering::Release);
    }

    /// Limits the connection to this many bytes per second until changed; `None` lifts the limit.
    pub(crate) fn limit(&self, bytes_per_second: Option<u64>) {
        self.limit.store(bytes_per_second.unwrap_or(0), Ordering::Release);
    }

    fn armed(&self) -> Option<BreakOff> {
        match self.armed.load(Ordering::Acquire) {
            0 => None,
            1 => Some(BreakOff::Fin),
            _ => Some(BreakOff::Reset),
        }
    }
}

/// A stream whose socket can be told to reset on close.
pub(crate) trait ResetOnClose {
    /// Makes the coming close send RST and discard what is unsent.
    fn reset_on_close(&self) -> io::Result<()>;
}

impl ResetOnClose for TcpStream {
    fn reset_on_close(&self) -> io::Result<()> {
        self.set_zero_linger()
    }
}

impl ResetOnClose for TlsStream<TcpStream> {
    fn reset_on_close(&self) -> io::Result<()> {
        self.get_ref().0.set_zero_linger()
    }
}

/// One connection with its pace and its grip.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    grip: Arc<Grip>,
    pace: Pace,
    window: f64,
    free_at: Instant,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, pace: Pace, grip: Arc<Grip>) -> Self {
        Self { stream, grip, pace, window: INITIAL_WINDOW, free_at: Instant::now(), pause: None }
    }

    /// Bytes per second in force now, `None` where nothing limits.
    fn rate(&self) -> Option<f64> {
        let asked = Some(self.grip.limit.load(Ordering::Acquire)).filter(|limit| *limit > 0);
        let fixed = [self.pace.bytes_per_second, asked].into_iter().flatten().min();
        let fixed = fixed.map(|rate| u32::try_from(rate).map_or(f64::from(u32::MAX), f64::from));
        let round_trip = self.pace.round_trip.as_secs_f64();
        let window = (self.pace.slow_start && round_trip > 0.0).then(|| self.window / round_trip);
        match (fixed, window) {
            (Some(fixed), Some(window)) => Some(fixed.min(window)),
            (fixed, window) => fixed.or(window),
        }
    }

    /// How many bytes may be written now; waits while the rate is used up.
    fn poll_allowance(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let Some(rate) = self.rate() else { return Poll::Ready(None) };
        if let Some(pause) = self.pause.as_mut() {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.free_at > Instant::now() {
            let mut pause = Box::pin(sleep_until(self.free_at));
            if pause.as_mut().poll(cx).is_pending() {
                self.pause = Some(pause);
                return Poll::Pending;
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive amount far below 2^52")]
        let quantum = (rate * QUANTUM.as_secs_f64()) as usize;
        Poll::Ready(Some(quantum.max(SMALLEST_WRITE)))
    }

    fn account(&mut self, written: usize) {
        let Some(rate) = self.rate() else { return };
        let mut idle = Instant::now().saturating_duration_since(self.free_at);
        let timeout = LEAST_RTO + self.pace.round_trip;
        // As Linux does it unless told otherwise (tcp_slow_start_after_idle).
        while idle > timeout && self.window > INITIAL_WINDOW {
            self.window = (self.window / 2.0).max(INITIAL_WINDOW);
            idle -= timeout;
        }
        let written = u32::try_from(written).map_or(f64::from(u32::MAX), f64::from);
        let earliest = Instant::now().checked_sub(CATCH_UP).unwrap_or_else(Instant::now);
        self.free_at = self.free_at.max(earliest) + Duration::from_secs_f64(written / rate);
        // Growth by ln 2 of what is sent doubles the window once per round trip, since the rate follows the window.
        self.window = (self.window + written * std::f64::consts::LN_2).min(LARGEST_WINDOW);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + ResetOnClose + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = match ready!(self.poll_allowance(cx)) {
            None => buf,
            Some(most) => buf.get(..most).unwrap_or(buf),
        };
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, allowed))?;
        self.account(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.rate().is_none() {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        match self.grip.armed() {
            None => Poll::Ready(Ok(())),
            Some(BreakOff::Fin) => Poll::Ready(Err(io::Error::other("cut by a scripted fault"))),
            Some(BreakOff::Reset) => {
                self.stream.reset_on_close()?;
                Poll::Ready(Err(io::Error::other("reset by a scripted fault")))
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
