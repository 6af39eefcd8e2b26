//! A wide-area network on paper: how long the simulator waits, and how fast it lets bytes go.
//!
//! Everything happens inside this process, so a benchmark needs no root and no kernel feature. It is a model: latency is
//! paid before an answer, bandwidth is shared by what one connection carries, and losses do not occur.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::journal::Service;

/// Round trips a new connection costs before its first request may be sent: TCP's handshake and that of TLS 1.3.
pub(crate) const CONNECT_ROUND_TRIPS: u32 = 2;

/// The first congestion window of a connection: ten segments of 1460 bytes (RFC 6928).
pub(crate) const INITIAL_WINDOW: f64 = 14_600.0;

/// Where the window stops growing: the default upper bound of a Linux receiver's buffer (`tcp_rmem`).
pub(crate) const LARGEST_WINDOW: f64 = 6_291_456.0;

/// What a retransmission timeout is above the round trip at least, on Linux (`TCP_RTO_MIN`). An idle connection loses half
/// of its window with each.
pub(crate) const LEAST_RTO: Duration = Duration::from_millis(200);

/// How one service is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Round-trip time: paid once before each answer, and twice more by each new TLS connection.
    pub round_trip: Duration,
    /// The most bytes per second one connection carries towards the client; `None` is unlimited.
    pub bytes_per_second: Option<u64>,
    /// Whether a connection starts with a window of ten segments that doubles each round trip, as TCP's does, and loses
    /// half of it for each retransmission timeout that it is idle.
    pub slow_start: bool,
}

impl Pace {
    /// Latency alone.
    #[must_use]
    pub fn round_trip(round_trip: Duration) -> Self {
        Self { round_trip, ..Self::default() }
    }
}

/// A shared handle on the pace of every service; unlimited and immediate until set.
#[derive(Debug, Clone, Default)]
pub struct Paces {
    table: Arc<RwLock<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    common: Pace,
    own: Vec<(Service, Pace)>,
}

impl Paces {
    /// Sets the pace of every service behind the TLS port, forgetting those set one by one.
    pub fn set(&self, pace: Pace) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Table { common: pace, own: Vec::new() };
    }

    /// Sets the pace of one service.
    pub fn set_of(&self, service: Service, pace: Pace) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.own.retain(|(other, _)| *other != service);
        table.own.push((service, pace));
    }

    /// The pace of one service.
    #[must_use]
    pub fn of(&self, service: Service) -> Pace {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.own.iter().find(|(other, _)| *other == service).map_or(table.common, |(_, pace)| *pace)
    }
}
