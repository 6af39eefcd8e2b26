//! Which steps may come when: troubles that are each survived may together be an outage, and outages must stay rare.

use std::time::Duration;

use cloudsim::journal::Service;
use tokio::time::Instant;

use super::HEALED;
use super::plan::{Card, Sort};

/// How far faults of the services behind a token are apart. A pull that needs all of them waits for some 10 s in all, and a
/// throttling is obeyed with the fleet in mind: two such faults in one chain are an outage.
const CHAIN_APART: Duration = Duration::from_secs(15);

/// Within this, two faults that cost their victim the better part of its patience do not both happen: one try may be
/// silent for 9 s, and all tries of one request have 20.
const SLOW_APART: Duration = Duration::from_secs(25);

/// Within this, a bucket does not call a URL expired twice: one that was fetched a moment ago and is refused again is not
/// asked for a third time, since no URL is born expired.
const EXPIRED_APART: Duration = Duration::from_secs(10);

/// What may excuse failures in percent of a soak, and from its beginning on so much in advance.
const EXCUSING: u32 = 13;
const ADVANCE: Duration = Duration::from_secs(120);

/// An outage with what heals after it, and a kill.
const OUTAGE: Duration = Duration::from_secs(6).saturating_add(HEALED);
const KILL: Duration = Duration::from_secs(1);

/// Most revocations without a quiet minute.
const IN_A_ROW: u32 = 3;
/// A minute, and what an answer may have been on its way.
const QUIET: Duration = Duration::from_secs(65);
/// What the request that met the one before may take.
const APART: Duration = Duration::from_secs(4);

/// When what was issued has been taken back.
///
/// The daemon renews what is refused at once, some times in a row (a login, its session and the session before that may go
/// together); what is refused more often, each time within a minute of the last, it takes for a registry that refuses
/// everything, and puts the next renewal off. Pulls wait for that, but not for ever. So revocations keep to what is
/// certain: three at most without a quiet minute, and none within the other's request.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    last: Option<Instant>,
    in_a_row: u32,
}

impl Revocations {
    pub(super) fn may(&self) -> bool {
        self.last.is_none_or(|last| {
            let since = last.elapsed();
            since >= QUIET || since >= APART && self.in_a_row < IN_A_ROW
        })
    }

    /// Counts one, which [may](Self::may) be.
    pub(super) fn count(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() >= QUIET) {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        self.last = Some(Instant::now());
    }
}

/// What was made when.
#[derive(Debug)]
pub(super) struct Limits {
    begun: Instant,
    length: Duration,
    name_server: bool,
    pub(super) revocations: Revocations,
    chain_failed: Option<Instant>,
    slow: Option<Instant>,
    expired: Option<Instant>,
}

impl Limits {
    pub(super) fn new(length: Duration, name_server: bool) -> Self {
        Self {
            begun: Instant::now(),
            length,
            name_server,
            revocations: Revocations::default(),
            chain_failed: None,
            slow: None,
            expired: None,
        }
    }

    /// Whether this may come now; it is counted then. `excused`: for how long failures could be excused so far.
    pub(super) fn may(&mut self, card: Card, excused: Duration) -> bool {
        let so_far = self.length.min(self.begun.elapsed() + ADVANCE) * EXCUSING / 100;
        match card.sort {
            Sort::Silence | Sort::Stall => passed(&mut self.slow, SLOW_APART),
            Sort::ExpiredUrl => passed(&mut self.expired, EXPIRED_APART),
            // They are about what was issued before, and nothing without taking it back.
            Sort::BearersRevoked
            | Sort::LoginsRevoked
            | Sort::SessionsRevoked
            | Sort::ClockJump
            | Sort::TokenFileAway => self.revocations.may(),
            Sort::PermissionAway => self.revocations.may() && excused + OUTAGE <= so_far,
            Sort::NamesOutage | Sort::ServiceOutage if excused + OUTAGE > so_far => false,
            Sort::NameServerSilent | Sort::NameServerFailing => {
                self.name_server && passed(&mut self.chain_failed, CHAIN_APART)
            }
            Sort::Kill => excused + KILL <= so_far,
            // A registry is the first link of the chain to whoever does not know its challenge yet.
            Sort::ConnectionRefused | Sort::WrongCertificate | Sort::NotHttp if card.service == Service::Registry => {
                passed(&mut self.chain_failed, CHAIN_APART)
            }
            _ if matches!(card.service, Service::Sts | Service::Cr | Service::Realm | Service::Imds) => {
                passed(&mut self.chain_failed, CHAIN_APART)
            }
            _ => true,
        }
    }
}

fn passed(last: &mut Option<Instant>, apart: Duration) -> bool {
    let may = last.is_none_or(|last| last.elapsed() >= apart);
    if may {
        *last = Some(Instant::now());
    }
    may
}
