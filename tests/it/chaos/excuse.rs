//! Which failures of pulls the steps of a soak excuse.

use std::time::Duration;

use cloudsim::journal::Service;
use tokio::time::Instant;

use super::HEALED;
use super::plan::{Kind, Out, Told};

/// How every answer begins that the daemon makes by itself.
const OURS: &str = "acr-pull-proxy: ";

/// What containerd says of a whole body that is shorter than its descriptor.
const TOO_SHORT: &str = "failed to read expected number of bytes";

/// What every error says of a name that has no address, which no service is to blame for, or nobody who tells it.
const NO_NAME: [&str; 2] = ["cannot resolve", "no name server answers"];

/// Something in force for a while.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The daemon it is about; `None`: all.
    pub(super) side: Option<&'static str>,
    pub(super) from: Instant,
    pub(super) until: Option<Instant>,
    /// How many requests it has met.
    pub(super) told: u64,
}

/// A pull that failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) client: &'static str,
    pub(super) side: &'static str,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) what: String,
    /// Whether whole content came that was wrong.
    pub(super) wrong: bool,
}

impl Failure {
    /// What the daemon said, or else the end of what the client did.
    pub(super) fn gist(&self) -> &str {
        let from = self.what.find(OURS).map_or_else(|| self.what.len().saturating_sub(80), |at| at.saturating_sub(4));
        self.what.get(from..).unwrap_or(&self.what)
    }
}

impl Window {
    pub(super) fn meets(&self, failure: &Failure, after: Duration) -> bool {
        self.side.is_none_or(|side| side == failure.side)
            && self.from <= failure.ended
            && self.until.is_none_or(|until| failure.begun <= until + after)
    }

    /// Whether a pull that failed had to, as far as this goes. `left`: how many failures a lie has not excused yet.
    pub(super) fn excuses(&self, failure: &Failure, left: u64) -> bool {
        match self.kind {
            Kind::Moment => false,
            Kind::Outage(out) => {
                // Who may not pull any more gets no part of a blob that was begun either, and the end of a body says no
                // reason.
                let cut =
                    out == Out::Permission && failure.what.contains(TOO_SHORT) && self.meets(failure, Duration::ZERO);
                !failure.wrong && (cut || self.meets(failure, HEALED) && out.is_blamed_by(&failure.what))
            }
            Kind::Killed => !failure.wrong && self.meets(failure, Duration::ZERO) && !failure.what.contains(OURS),
            Kind::Lie(told) => {
                let excused = match told {
                    Told::WrongContent => left > 0 && (failure.wrong || failure.what.contains(TOO_SHORT)),
                    // Those who want the same blob at the same moment share the question, and so the answer.
                    Told::ForeignPlace => self.told > 0 && failure.what.contains("redirect refused"),
                };
                excused && self.meets(failure, Duration::ZERO)
            }
        }
    }
}

impl Out {
    /// Whether the daemon says that this is the reason.
    fn is_blamed_by(self, what: &str) -> bool {
        let (statuses, marks): (&[&str], &[&str]) = match self {
            Self::Permission => (&["403"], &["cr:PullRepository", "denies the pull"]),
            Self::Names => (&["502", "503", "504"], &NO_NAME),
            Self::Service(service) => (
                &["502", "503", "504"],
                match service {
                    Service::Oss => &["oss-"],
                    Service::Registry => &["registry"],
                    Service::Realm => &["dockerauth"],
                    Service::Cr => &["GetAuthorizationToken"],
                    Service::Sts => &["AssumeRole"],
                    Service::Imds | Service::Stranger => &[],
                },
            ),
        };
        let says = statuses.iter().any(|status| what.contains(&format!("{status} {OURS}")));
        let has_any = |marks: &[&str]| marks.iter().any(|mark| what.contains(mark));
        says && (self == Self::Names || !has_any(&NO_NAME)) && has_any(marks)
    }
}

/// How long at least one window could excuse something, whatever its side.
pub(super) fn excused(windows: &[Window]) -> Duration {
    let now = Instant::now();
    let mut spans: Vec<(Instant, Instant)> = windows
        .iter()
        .filter(|window| window.kind != Kind::Moment)
        .map(|window| {
            let healed = if matches!(window.kind, Kind::Outage(_)) { HEALED } else { Duration::ZERO };
            (window.from, window.until.map_or(now, |until| until + healed))
        })
        .collect();
    spans.sort_unstable();
    let (mut sum, mut counted) = (Duration::ZERO, spans.first().map_or(now, |(from, _)| *from));
    for (from, until) in spans {
        sum += until.saturating_duration_since(from.max(counted));
        counted = counted.max(until);
    }
    sum
}

#[cfg(test)]
mod tests;
