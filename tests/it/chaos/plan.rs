//! What goes wrong, and in which order: an endless row of steps that a seed decides.
//!
//! The order replays with the seed. When a step meets which request is up to the machine, so that a replay is the same
//! weather and not the same pull.

use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use http::{HeaderValue, StatusCode, header};
use jiff::SignedDuration;

use super::dice::Dice;

/// What a client of the daemon may expect while a step is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Trying again within the daemon's patience saves the pull, so that no pull may fail.
    Moment,
    /// It lasts longer than anybody's patience: pulls may fail, until [`super::HEALED`] after its end.
    Outage,
    /// The daemon is gone: pulls that were under way or came meanwhile may fail, and none that begins with the new daemon.
    Killed,
    /// The bytes are wrong and the transport is whole: whoever gets them must notice, and nobody after the end of it.
    Lie,
}

/// What a step ends that was issued before, so that the services which issue are asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoked {
    Nothing,
    Bearers,
    Logins,
    Sessions,
}

/// One step.
#[derive(Debug, Clone)]
pub(super) struct Step {
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
    /// The daemons read another good configuration: connections and part size for one blob.
    Reload { connections: u64, part_mib: u64 },
    /// The configuration becomes unreadable for a moment; the daemons keep the one they have.
    BrokenFile,
    /// A second daemon takes the addresses over, and the first one ends (`SIGTERM`).
    Replace,
    /// The daemon is killed (`SIGKILL`) and started again.
    Kill,
}

/// Buckets and registry are asked most, and so they fail most.
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

/// How long a fault that strikes once or twice waits for its victims.
const STRIKES_WITHIN: Duration = Duration::from_secs(3);
/// How long everything of one service may fail so that the daemon's tries must outlast it: six tries at one place spread
/// over 3.1 s, and the last may come late on a busy machine.
const BRIEF: Duration = Duration::from_millis(1_500);
/// Within this, two faults that cost their victim the better part of its patience do not both happen: one try may be
/// silent for 9 s, and all tries of one request have 20.
const SLOW_APART: u64 = 25;

/// Within this, a bucket does not call a URL expired twice: one that was fetched a moment ago and is refused again is not
/// asked for a third time, since no URL is born expired.
const EXPIRED_APART: u64 = 20;

/// The next steps, for as long as somebody asks.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) dice: Dice,
    since_slow: u64,
    since_expired: u64,
}

impl Plan {
    pub(super) const fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), since_slow: 0, since_expired: EXPIRED_APART }
    }

    pub(super) fn next(&mut self) -> Step {
        self.since_slow += 1;
        self.since_expired += 1;
        match self.dice.below(100) {
            0..44 => self.strikes(),
            44..52 => self.brief(),
            52..60 => {
                let revoked = self.dice.pick(&[Revoked::Bearers, Revoked::Logins, Revoked::Sessions]);
                moment(format!("{revoked:?} revoked"), Action::Revoke(revoked))
            }
            60..64 => {
                let off = i64::try_from(self.dice.below(1_201)).expect("small") - 600;
                moment(format!("clock {off:+} s"), Action::ClockJump(SignedDuration::from_secs(off)))
            }
            64..68 => {
                let seconds = self.dice.pick(&[10, 20, 60]);
                moment(format!("lifetimes {seconds} s"), Action::Lifetimes(SignedDuration::from_secs(seconds)))
            }
            68..71 => moment("service-account token rotated".to_owned(), Action::RotateToken),
            71..73 => {
                let step = moment("token file away".to_owned(), Action::TokenFileAway);
                Step { lasts: self.dice.millis(100, 900), ..step }
            }
            73..79 => {
                let (connections, part_mib) = (self.dice.between(1, 4), self.dice.pick(&[1, 8]));
                moment(
                    format!("reload, {connections} connections of {part_mib} MiB"),
                    Action::Reload { connections, part_mib },
                )
            }
            79..82 => Step { lasts: BRIEF, ..moment("broken file".to_owned(), Action::BrokenFile) },
            82..85 => {
                let step = moment("names fail beside an address".to_owned(), Action::Names { beside: true });
                Step { lasts: self.dice.millis(500, 3_000), ..step }
            }
            85..90 => moment("replacement".to_owned(), Action::Replace),
            90..93 => Step { kind: Kind::Killed, ..moment("kill -9".to_owned(), Action::Kill) },
            93..95 => self.lie(),
            95..98 => self.outage(),
            98 => outage("names resolve to nothing".to_owned(), self.long(), Action::Names { beside: false }),
            _ => outage("permission away".to_owned(), self.long(), Action::PermissionAway),
        }
    }

    /// A fault that strikes once or twice.
    fn strikes(&mut self) -> Step {
        let service = self.dice.pick(&SERVICES);
        let slow_allowed = self.since_slow > SLOW_APART;
        let (name, effect, once) = match self.dice.below(12) {
            0 | 1 => self.bad_answer(),
            2 => {
                let mut headers = Vec::new();
                if self.dice.below(2) == 0 {
                    headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
                }
                let status = StatusCode::TOO_MANY_REQUESTS;
                ("429".to_owned(), Effect::Answer { status, headers, body: "".into() }, false)
            }
            3 => ("closed before the head".to_owned(), Effect::CloseBeforeHead, false),
            4 => ("connection refused".to_owned(), Effect::RefuseConnection, false),
            5 if slow_allowed => {
                self.since_slow = 0;
                ("silence".to_owned(), Effect::Silence, true)
            }
            6 if slow_allowed => {
                self.since_slow = 0;
                ("stall".to_owned(), Effect::StallAfter(self.dice.below(200_000)), true)
            }
            7 => ("delay".to_owned(), Effect::Delay(self.dice.millis(100, 2_000)), false),
            8 if service == Service::Sts => ("302 of a throttle".to_owned(), Effect::Throttle302, false),
            8 if self.since_expired > EXPIRED_APART => {
                self.since_expired = 0;
                ("expired signature".to_owned(), Effect::ExpiredSignature, true)
            }
            9 | 10 => ("cut".to_owned(), Effect::CutAfter(self.dice.below(400_000)), false),
            _ => ("reset".to_owned(), Effect::ResetAfter(self.dice.below(400_000)), false),
        };
        let times = if once { 1 } else { self.dice.between(1, 2) };
        let name = format!("{service:?}: {name}, {times} x");
        let fault = Box::new(Fault::on(service, effect).times(times));
        Step { lasts: STRIKES_WITHIN, ..moment(name, Action::Fault(fault, issued_by(service))) }
    }

    fn bad_answer(&mut self) -> (String, Effect, bool) {
        let status = self.dice.pick(&[500, 502, 503, 504]);
        let effect = Effect::answer(StatusCode::from_u16(status).expect("a status"), "");
        (status.to_string(), effect, false)
    }

    /// Every request to one service fails, for less than the daemon's patience.
    fn brief(&mut self) -> Step {
        let (service, name, effect) = self.all_fail();
        let name = format!("{service:?}: all {name}, briefly");
        let fault = Box::new(Fault::on(service, effect));
        Step { alone: true, lasts: BRIEF, ..moment(name, Action::Fault(fault, issued_by(service))) }
    }

    /// The same for longer.
    fn outage(&mut self) -> Step {
        let (service, name, effect) = self.all_fail();
        let fault = Box::new(Fault::on(service, effect));
        outage(format!("{service:?}: all {name}"), self.long(), Action::Fault(fault, issued_by(service)))
    }

    fn all_fail(&mut self) -> (Service, String, Effect) {
        let service = self.dice.pick(&SERVICES);
        let (name, effect) = match self.dice.below(3) {
            0 => ("closed".to_owned(), Effect::CloseBeforeHead),
            1 => ("refused".to_owned(), Effect::RefuseConnection),
            _ => {
                let (name, effect, _) = self.bad_answer();
                (name, effect)
            }
        };
        (service, name, effect)
    }

    fn lie(&mut self) -> Step {
        let (name, effect) = match self.dice.below(2) {
            0 => ("wrong bytes", Effect::WrongBytes),
            _ => ("a short body that says so", Effect::ShortBody(self.dice.below(10_000))),
        };
        let service = self.dice.pick(&[Service::Oss, Service::Oss, Service::Registry]);
        let fault = Box::new(Fault::on(service, effect).method(http::Method::GET).once());
        let name = format!("{service:?}: {name}");
        Step {
            kind: Kind::Lie,
            alone: true,
            lasts: STRIKES_WITHIN,
            ..moment(name, Action::Fault(fault, Revoked::Nothing))
        }
    }

    fn long(&mut self) -> Duration {
        self.dice.millis(4_000, 8_000)
    }
}

fn moment(name: String, action: Action) -> Step {
    Step { name, kind: Kind::Moment, alone: false, lasts: Duration::ZERO, action }
}

fn outage(name: String, lasts: Duration, action: Action) -> Step {
    Step { name, kind: Kind::Outage, alone: true, lasts, action }
}

/// What has to go so that a service is asked at all.
const fn issued_by(service: Service) -> Revoked {
    match service {
        Service::Sts => Revoked::Sessions,
        Service::Cr => Revoked::Logins,
        Service::Realm => Revoked::Bearers,
        _ => Revoked::Nothing,
    }
}

#[cfg(test)]
mod tests;
