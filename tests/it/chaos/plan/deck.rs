//! The deck of steps.

use std::time::Duration;

use cloudsim::journal::Service;
use jiff::SignedDuration;

use super::super::dice::Dice;
use super::{Action, Kind, Out, Revoked, Step};
use crate::support::dns::Mood;

/// Each sort of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    BadAnswer,
    Throttled,
    ClosedBeforeHead,
    ConnectionRefused,
    WrongCertificate,
    NotHttp,
    Silence,
    Stall,
    Delay,
    BareRedirect,
    ExpiredUrl,
    Cut,
    Reset,
    NoLength,
    SkewedDate,
    MetadataFailing,
    ServiceFailing,
    BearersRevoked,
    LoginsRevoked,
    SessionsRevoked,
    ClockJump,
    Lifetimes,
    TokenRotated,
    TokenFileAway,
    Reload,
    BrokenFile,
    NamesBesideFailing,
    NameServerSilent,
    NameServerFailing,
    Replacement,
    Kill,
    WrongBytes,
    ShortBody,
    ForeignRedirect,
    ServiceOutage,
    NamesOutage,
    PermissionAway,
}

impl Sort {
    /// How many there are.
    pub(crate) const COUNT: usize = 37;
}

/// The cards of each sort.
const DECK: [(Sort, u32); Sort::COUNT] = [
    (Sort::BadAnswer, 3),
    (Sort::Throttled, 3),
    (Sort::ClosedBeforeHead, 3),
    (Sort::ConnectionRefused, 2),
    (Sort::WrongCertificate, 2),
    (Sort::NotHttp, 2),
    (Sort::Silence, 1),
    (Sort::Stall, 1),
    (Sort::Delay, 2),
    (Sort::BareRedirect, 1),
    (Sort::ExpiredUrl, 1),
    (Sort::Cut, 4),
    (Sort::Reset, 4),
    (Sort::NoLength, 2),
    (Sort::SkewedDate, 2),
    (Sort::MetadataFailing, 2),
    (Sort::ServiceFailing, 4),
    (Sort::BearersRevoked, 1),
    (Sort::LoginsRevoked, 1),
    (Sort::SessionsRevoked, 1),
    (Sort::ClockJump, 1),
    (Sort::Lifetimes, 2),
    (Sort::TokenRotated, 2),
    (Sort::TokenFileAway, 1),
    (Sort::Reload, 3),
    (Sort::BrokenFile, 2),
    (Sort::NamesBesideFailing, 2),
    (Sort::NameServerSilent, 1),
    (Sort::NameServerFailing, 1),
    (Sort::Replacement, 3),
    (Sort::Kill, 2),
    (Sort::WrongBytes, 1),
    (Sort::ShortBody, 1),
    (Sort::ForeignRedirect, 1),
    (Sort::ServiceOutage, 1),
    (Sort::NamesOutage, 1),
    (Sort::PermissionAway, 1),
];

impl Sort {
    /// Whether it meets services in a way that no other sort does, and may come seldom.
    const fn comes_first(self) -> bool {
        matches!(self, Self::BareRedirect | Self::MetadataFailing | Self::NameServerSilent | Self::NameServerFailing)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        DECK.into_iter().map(|(sort, _)| sort)
    }
}

/// Buckets and registry are asked most, and so they fail most. Each first card of a sort goes to the first of them, which
/// is asked all the time, so that it strikes.
const SERVICES: [Service; 8] = [
    Service::Oss,
    Service::Oss,
    Service::Oss,
    Service::Registry,
    Service::Registry,
    Service::Realm,
    Service::Cr,
    Service::Sts,
];

/// A step that has not been made yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Card {
    pub(crate) sort: Sort,
    /// Whom it meets, where it is about one.
    pub(crate) service: Service,
}

/// How long everything of one service may fail so that the daemon's tries must outlast it: six tries at one place spread
/// over 3.1 s, and the last may come late on a busy machine.
pub(super) const BRIEF: Duration = Duration::from_millis(1_500);

/// The next steps, for as long as somebody asks.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) dice: Dice,
    deck: Vec<Card>,
    waiting: Vec<Card>,
}

impl Plan {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), deck: Vec::new(), waiting: Vec::new() }
    }

    /// The next step that `may` come: one that has waited for it, or the next from the deck.
    pub(crate) fn next(&mut self, mut may: impl FnMut(Card) -> bool) -> Step {
        if let Some(at) = self.waiting.iter().position(|card| may(*card)) {
            let card = self.waiting.remove(at);
            return self.step(card);
        }
        loop {
            let card = self.draw();
            if may(card) {
                return self.step(card);
            }
            if self.waiting.iter().any(|waiting| waiting.sort == card.sort) {
                continue;
            }
            // What comes in no other way goes before trouble that somebody else may have as well, and each of its sorts in
            // turn: they wait for the same.
            let last = self.waiting.len();
            let behind_first = self.waiting.iter().position(|waiting| !waiting.sort.comes_first()).unwrap_or(last);
            self.waiting.insert(if card.sort.comes_first() { behind_first } else { last }, card);
        }
    }

    fn draw(&mut self) -> Card {
        while self.deck.is_empty() {
            for (sort, cards) in DECK {
                for card in 0..cards {
                    let service = match (sort, card) {
                        (Sort::MetadataFailing, _) => Service::Imds,
                        (Sort::BareRedirect, _) => Service::Sts,
                        (Sort::ForeignRedirect, _) => Service::Registry,
                        (Sort::Silence | Sort::Stall | Sort::ExpiredUrl | Sort::WrongBytes | Sort::ShortBody, _)
                        | (_, 0) => SERVICES[0],
                        _ => self.dice.pick(&SERVICES),
                    };
                    self.deck.push(Card { sort, service });
                }
            }
            for at in (1..self.deck.len()).rev() {
                let other = self.dice.below(at as u64 + 1);
                self.deck.swap(at, usize::try_from(other).expect("an index"));
            }
        }
        self.deck.pop().expect("filled above")
    }

    fn step(&mut self, card: Card) -> Step {
        let sort = card.sort;
        let moment = |name: String, action| moment(sort, name, action);
        match sort {
            Sort::BearersRevoked => moment("bearers revoked".to_owned(), Action::Revoke(Revoked::Bearers)),
            Sort::LoginsRevoked => moment("logins revoked".to_owned(), Action::Revoke(Revoked::Logins)),
            Sort::SessionsRevoked => moment("sessions revoked".to_owned(), Action::Revoke(Revoked::Sessions)),
            Sort::ClockJump => {
                let off = i64::try_from(self.dice.below(1_201)).expect("small") - 600;
                moment(format!("clock {off:+} s"), Action::ClockJump(SignedDuration::from_secs(off)))
            }
            Sort::Lifetimes => {
                let seconds = self.dice.pick(&[10, 20, 60]);
                moment(format!("lifetimes {seconds} s"), Action::Lifetimes(SignedDuration::from_secs(seconds)))
            }
            Sort::TokenRotated => moment("service-account token rotated".to_owned(), Action::RotateToken),
            Sort::TokenFileAway => {
                let lasts = self.dice.millis(100, 900);
                Step { lasts, ..moment("token file away".to_owned(), Action::TokenFileAway) }
            }
            Sort::Reload => {
                let (connections, part_mib) = (self.dice.between(1, 4), self.dice.pick(&[1, 8]));
                let name = format!("reload, {connections} connections of {part_mib} MiB");
                moment(name, Action::Reload { connections, part_mib })
            }
            Sort::BrokenFile => Step { lasts: BRIEF, ..moment("broken file".to_owned(), Action::BrokenFile) },
            Sort::NamesBesideFailing => {
                let lasts = self.dice.millis(500, 3_000);
                let name = "names fail beside an address".to_owned();
                Step { lasts, ..moment(name, Action::Names { beside: true }) }
            }
            Sort::NameServerSilent => Step {
                alone: true,
                lasts: BRIEF,
                ..moment("name server silent".to_owned(), Action::NameServer(Mood::Silent))
            },
            Sort::NameServerFailing => {
                let name = "name server fails".to_owned();
                Step { alone: true, lasts: BRIEF, ..moment(name, Action::NameServer(Mood::Failing)) }
            }
            Sort::Replacement => moment("replacement".to_owned(), Action::Replace),
            Sort::Kill => Step { kind: Kind::Killed, ..moment("kill -9".to_owned(), Action::Kill) },
            Sort::NamesOutage => {
                self.outage(sort, Out::Names, "names resolve to nothing".to_owned(), Action::Names { beside: false })
            }
            Sort::PermissionAway => {
                self.outage(sort, Out::Permission, "permission away".to_owned(), Action::PermissionAway)
            }
            _ => self.fault(card),
        }
    }

    /// Something that lasts longer than anybody's patience.
    pub(super) fn outage(&mut self, sort: Sort, out: Out, name: String, action: Action) -> Step {
        let lasts = self.dice.millis(4_000, 6_000);
        Step { kind: Kind::Outage(out), alone: true, lasts, ..moment(sort, name, action) }
    }
}

pub(super) fn moment(sort: Sort, name: String, action: Action) -> Step {
    Step { sort, name, kind: Kind::Moment, alone: false, lasts: Duration::ZERO, action }
}
