//! What happened during a soak, and the verdict: which pulls failed, and which of them had to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::excuse::{self, Failure, Window};
use super::plan::{Kind, Sort};

/// A shared record; clones write into one.
#[derive(Debug, Clone)]
pub(super) struct Record {
    begun: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    windows: Vec<Window>,
    failures: Vec<Failure>,
    pulls: BTreeMap<(&'static str, &'static str), u64>,
    bytes: u64,
    resumed: u64,
    /// How often each sort of trouble was made, and how often it met somebody.
    made: BTreeMap<Sort, (u64, u64)>,
}

/// Names a window that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open(usize, Sort);

/// How it ended.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) text: String,
    /// How many pulls came through, for each client and daemon.
    pub(super) pulls: Vec<u64>,
    /// Sorts of trouble that have met nobody.
    pub(super) missing: Vec<Sort>,
    /// Which part of the time, in percent, could have excused a failure.
    pub(super) excused_share: u64,
    /// Failed pulls that a retry inside the daemon should have saved.
    pub(super) avoidable: usize,
    /// Pulls that got wrong content while nobody lied.
    pub(super) corrupt: usize,
}

impl Record {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), inner: Arc::default() }
    }

    pub(super) fn open(&self, name: &str, sort: Sort, kind: Kind, side: Option<&'static str>) -> Open {
        let window = Window { name: name.to_owned(), kind, side, from: Instant::now(), until: None, told: 0 };
        self.with(|inner| {
            inner.windows.push(window);
            inner.made.entry(sort).or_default().0 += 1;
            Open(inner.windows.len() - 1, sort)
        })
    }

    /// It is over, and has met so many requests, or all of the daemons: once.
    pub(super) fn close(&self, Open(at, sort): Open, met: u64) {
        self.with(|inner| {
            inner.windows[at].until = Some(Instant::now());
            inner.windows[at].told = met;
            inner.made.entry(sort).or_default().1 += met;
        });
    }

    /// A daemon that pulls of this client go to, with none so far.
    pub(super) fn expect(&self, client: &'static str, side: &'static str) {
        self.with(|inner| *inner.pulls.entry((client, side)).or_default() += 0);
    }

    /// How much of the time until now could excuse a failure.
    pub(super) fn excused(&self) -> Duration {
        self.with(|inner| excuse::excused(&inner.windows))
    }

    /// A pull that brought every byte; `resumed`: how often its client had to go on by itself.
    pub(super) fn pulled(&self, client: &'static str, side: &'static str, bytes: u64, resumed: u64) {
        self.with(|inner| {
            *inner.pulls.entry((client, side)).or_default() += 1;
            inner.bytes += bytes;
            inner.resumed += resumed;
        });
    }

    pub(super) fn failed(&self, client: &'static str, side: &'static str, begun: Instant, what: String, wrong: bool) {
        let failure = Failure { client, side, begun, ended: Instant::now(), what, wrong };
        self.with(|inner| inner.failures.push(failure));
    }

    pub(super) fn failures(&self) -> usize {
        self.with(|inner| inner.failures.len())
    }

    /// The verdict; every failure that nothing excuses is told in full.
    pub(super) fn verdict(&self) -> Verdict {
        self.with(|inner| {
            let mut text = String::new();
            let (mut avoidable, mut corrupt) = (0, 0);
            let mut excused = BTreeMap::<String, usize>::new();
            let mut lies = inner.windows.iter().map(|window| window.told).collect::<Vec<_>>();
            for failure in &inner.failures {
                let excuse = inner.windows.iter().zip(&mut lies).find(|(window, left)| window.excuses(failure, **left));
                if let Some((window, left)) = excuse {
                    *left = left.saturating_sub(1);
                    *excused.entry(format!("{}: {}", window.name, failure.gist())).or_default() += 1;
                    continue;
                }
                if failure.wrong {
                    corrupt += 1;
                } else {
                    avoidable += 1;
                }
                let (begun, ended) = (self.at(failure.begun), self.at(failure.ended));
                writeln!(text, "FAILED {} at {} {begun}-{ended}: {}", failure.client, failure.side, failure.what).ok();
                for window in inner.windows.iter().filter(|window| window.meets(failure, Duration::ZERO)) {
                    let until = window.until.map_or("now".to_owned(), |until| self.at(until));
                    writeln!(text, "    {}-{until} {:?}: {}", self.at(window.from), window.kind, window.name).ok();
                }
            }
            let (whole, excusing) = (self.begun.elapsed(), excuse::excused(&inner.windows));
            let excused_share = (100.0 * excusing.as_secs_f64() / whole.as_secs_f64()).ceil() as u64;
            writeln!(text, "{} steps in {}", inner.windows.len(), self.at(Instant::now())).ok();
            for sort in Sort::all() {
                let (made, met) = inner.made.get(&sort).copied().unwrap_or_default();
                writeln!(text, "    {sort:?}: made {made} times, took effect {met} times").ok();
            }
            for ((client, side), count) in &inner.pulls {
                writeln!(text, "{count} pulls by {client} from the daemon that {side}").ok();
            }
            let mib = inner.bytes >> 20;
            writeln!(text, "{mib} MiB verified, {} bodies continued by clients", inner.resumed).ok();
            writeln!(text, "{excusing:.1?} of {whole:.1?} could excuse a failure: {excused_share} %").ok();
            writeln!(text, "{} pulls failed: {corrupt} corrupt, {avoidable} avoidable", inner.failures.len()).ok();
            for (name, count) in &excused {
                writeln!(text, "    {count} excused by {name}").ok();
            }
            let missing = Sort::all().filter(|sort| inner.made.get(sort).is_none_or(|(_, met)| *met == 0)).collect();
            let pulls = inner.pulls.values().copied().collect();
            Verdict { text, pulls, missing, excused_share, avoidable, corrupt }
        })
    }

    fn at(&self, moment: Instant) -> String {
        format!("{:.3}s", moment.saturating_duration_since(self.begun).as_secs_f64())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
