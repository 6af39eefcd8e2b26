//! What systemd hands over and is told: sockets, states and the watchdog (sd_listen_fds(3), sd_notify(3)). Where
//! another starts the daemon, all of it is silent.

use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::output::Failure;

/// What a `.socket` unit handed over.
#[derive(Debug)]
pub(super) struct Inherited {
    /// All that pulls can come by. systemd keeps their queues: whoever stands there waits until somebody accepts.
    pub(super) sockets: Vec<TcpListener>,
    /// Why they are not what the daemon needs.
    pub(super) unfit: Option<String>,
}

impl Inherited {
    /// Takes over every socket; none, where there is no such unit.
    pub(super) fn take() -> Self {
        let mut given = ListenFd::from_env();
        let (mut sockets, mut unfit) = (Vec::new(), None);
        for index in 0..given.len() {
            match given.take_tcp_listener(index) {
                Ok(socket) => sockets.extend(socket),
                Err(error) => unfit = Some(format!("the socket that was handed over is no TCP socket: {error}")),
            }
        }
        if given.len() > 1 {
            unfit = Some(format!("{} sockets were handed over, and only 'listen' can be", given.len()));
        }
        Self { sockets, unfit }
    }

    /// The one socket for pulls, to serve from; it stays open here too. `None` where the daemon has to listen by itself.
    pub(super) fn socket(&self) -> Result<Option<TcpListener>, Failure> {
        if let Some(what) = &self.unfit {
            return Err(Failure::runtime(what.clone(), "name one ListenStream= in the socket unit, with a port"));
        }
        let socket = self.sockets.first().map(TcpListener::try_clone).transpose();
        socket.map_err(|error| Failure::runtime(format!("the socket cannot be used: {error}"), "check LimitNOFILE="))
    }
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

/// How long the watchdog may go unfed; `None` where there is none.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| *limit > Duration::ZERO)
}

/// Feeds the watchdog, if there is one.
pub(super) fn alive() {
    if watchdog().is_some() {
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
