//! What goes wrong, and in which order: an endless row of steps that a seed decides.
//!
//! The steps are the cards of a deck that is shuffled whenever it is used up, so that each sort of trouble comes, and comes
//! about as often as it has cards. One that may not come yet waits at the side until it may. When a step meets which request is
//! up to the machine, so that a replay is the same weather and not the same pull.

mod deck;
mod fault;

use std::time::Duration;

use cloudsim::fault::Fault;
use cloudsim::journal::Service;
use jiff::SignedDuration;

use crate::support::dns::Mood;
pub(super) use deck::{Card, Plan, Sort};

/// What a client of the daemon may expect while a step is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Trying again within the daemon's patience saves the pull, so that no pull may fail.
    Moment,
    /// It lasts longer than anybody's patience: pulls may fail that say so, until [`super::HEALED`] after its end.
    Outage(Out),
    /// The daemon is gone: connections to it may fail until the next one listens, and nothing that it answers.
    Killed,
    /// The transport is whole and what comes is wrong: as many pulls may fail as were told the lie, for that reason alone.
    Lie(Told),
}

/// What an outage takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    Service(Service),
    Names,
    Permission,
}

/// What a lie is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Bytes that the digest does not fit, which the client notices.
    WrongContent,
    /// A place that no bytes may come from, which the daemon notices.
    ForeignPlace,
}

/// What a step ends that was issued before, so that the services which issue are asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoked {
    Nothing,
    Bearers,
    Logins,
    Sessions,
    /// Also what the metadata service gave the node.
    Node,
}

/// One step.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) sort: Sort,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether nothing else is in force meanwhile: what it costs, or excuses, is its own.
    pub(super) alone: bool,
    /// How long it is in force at most; a fault that is used up ends earlier.
    pub(super) lasts: Duration,
    pub(super) action: Action,
}

/// What happens in it.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// A scripted fault of the cloud.
    Fault(Box<Fault>, Revoked),
    /// Everything of this sort is refused from now on, long before it expires.
    Revoke(Revoked),
    /// The cloud's clock jumps to this far from the node's.
    ClockJump(SignedDuration),
    /// From now on bearers and blob URLs live this long.
    Lifetimes(SignedDuration),
    /// The kubelet writes another service-account token.
    RotateToken,
    /// The token file is away.
    TokenFileAway,
    /// The right to pull is taken away, and given back.
    PermissionAway,
    /// Names resolve to nothing; or to nothing and, beside it, to the right address.
    Names { beside: bool },
    /// The name server answers so, until it was asked for a while.
    NameServer(Mood),
    /// The daemons read another good configuration: connections and part size for one blob.
    Reload { connections: u64, part_mib: u64 },
    /// The configuration becomes unreadable for a moment; the daemons keep the one they have.
    BrokenFile,
    /// A second daemon takes the addresses over, and the first one ends (`SIGTERM`).
    Replace,
    /// The daemon is killed (`SIGKILL`) and started again.
    Kill,
}

/// What has to go so that a service is asked at all.
pub(super) const fn issued_by(service: Service) -> Revoked {
    match service {
        Service::Imds => Revoked::Node,
        Service::Sts => Revoked::Sessions,
        Service::Cr => Revoked::Logins,
        Service::Realm => Revoked::Bearers,
        _ => Revoked::Nothing,
    }
}

#[cfg(test)]
mod tests;
