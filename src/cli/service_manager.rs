//! What systemd hands over and is told: sockets, states and the watchdog (sd_listen_fds(3), sd_notify(3)). Where
//! another starts the daemon, all of it is silent.
//!
//! The watchdog is fed only while the daemon answers a request of its own, so that one that hangs is started anew.

use std::convert::Infallible;
use std::future::pending;
use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::output::Failure;
use crate::proxy::Visitor;

/// How often the watchdog is fed within its time; systemd recommends twice, once more outlives a lost beat.
const BEATS: u32 = 3;

/// The socket for pulls, where a `.socket` unit listens with it.
pub(super) fn inherited_socket() -> Result<Option<TcpListener>, Failure> {
    let mut sockets = ListenFd::from_env();
    if sockets.len() > 1 {
        return Err(Failure::runtime(
            format!("{} sockets were handed over, and only 'listen' can be", sockets.len()),
            "name one ListenStream= in the socket unit",
        ));
    }
    if sockets.len() == 0 {
        return Ok(None);
    }
    sockets.take_tcp_listener(0).map_err(|error| {
        Failure::runtime(format!("the socket that was handed over is no TCP socket: {error}"), "use ListenStream=")
    })
}

/// Pulls are accepted.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A new configuration is being read; [`ready`] follows.
pub(super) fn reloading() {
    // Without the time systemd only cannot tell two reloads apart.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// No connection is accepted any more.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("pulls under way get their time")]);
}

/// Feeds the watchdog, if there is one, for as long as the daemon answers.
pub(super) async fn feed_watchdog(visitor: Visitor) -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| *limit > Duration::ZERO) else {
        return pending().await;
    };
    let mut beats = tokio::time::interval(limit / BEATS);
    loop {
        beats.tick().await;
        if visitor.is_answered().await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("a request of the daemon to itself was not answered; the watchdog is not fed");
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
