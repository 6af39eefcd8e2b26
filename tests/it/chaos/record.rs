//! What happened during a soak, and the verdict: which pulls failed, and which of them had to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::HEALED;
use super::plan::Kind;

/// Something in force for a while.
#[derive(Debug, Clone)]
struct Window {
    name: String,
    kind: Kind,
    /// The daemon it is about; `None`: all.
    side: Option<&'static str>,
    from: Instant,
    until: Option<Instant>,
}

/// A pull that failed.
#[derive(Debug, Clone)]
struct Failure {
    client: &'static str,
    side: &'static str,
    begun: Instant,
    ended: Instant,
    what: String,
    /// Whether whole content came that was wrong.
    wrong: bool,
}

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
}

/// Names a window that is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open(usize);

/// How it ended.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) text: String,
    pub(super) pulls: u64,
    /// Failed pulls that a retry inside the daemon should have saved.
    pub(super) avoidable: usize,
    /// Pulls that got wrong content while nobody lied.
    pub(super) corrupt: usize,
}

impl Record {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), inner: Arc::default() }
    }

    pub(super) fn open(&self, name: &str, kind: Kind, side: Option<&'static str>) -> Open {
        let window = Window { name: name.to_owned(), kind, side, from: Instant::now(), until: None };
        self.with(|inner| {
            inner.windows.push(window);
            Open(inner.windows.len() - 1)
        })
    }

    pub(super) fn close(&self, open: Open) {
        self.with(|inner| inner.windows[open.0].until = Some(Instant::now()));
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
            for failure in &inner.failures {
                let excuse = inner.windows.iter().find(|window| window.excuses(failure));
                if let Some(excuse) = excuse {
                    *excused.entry(excuse.name.clone()).or_default() += 1;
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
            let pulls = inner.pulls.values().sum();
            writeln!(text, "{} steps in {}", inner.windows.len(), self.at(Instant::now())).ok();
            for ((client, side), count) in &inner.pulls {
                writeln!(text, "{count} pulls by {client} from the daemon that {side}").ok();
            }
            let mib = inner.bytes >> 20;
            writeln!(text, "{mib} MiB verified, {} bodies continued by clients", inner.resumed).ok();
            writeln!(text, "{} pulls failed: {corrupt} corrupt, {avoidable} avoidable", inner.failures.len()).ok();
            for (name, count) in &excused {
                writeln!(text, "    {count} excused by: {name}").ok();
            }
            Verdict { text, pulls, avoidable, corrupt }
        })
    }

    fn at(&self, moment: Instant) -> String {
        format!("{:.3}s", moment.saturating_duration_since(self.begun).as_secs_f64())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Window {
    fn meets(&self, failure: &Failure, after: Duration) -> bool {
        self.side.is_none_or(|side| side == failure.side)
            && self.from <= failure.ended
            && self.until.is_none_or(|until| failure.begun <= until + after)
    }

    /// Whether a pull that failed had to, as far as this goes.
    fn excuses(&self, failure: &Failure) -> bool {
        match self.kind {
            Kind::Moment => false,
            Kind::Outage => !failure.wrong && self.meets(failure, HEALED),
            Kind::Killed => !failure.wrong && self.meets(failure, Duration::ZERO),
            Kind::Lie => self.meets(failure, Duration::ZERO),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_excuses_what_fails_in_it_and_shortly_after_and_a_moment_nothing() {
    let record = Record::new();
    let fail = |side, wrong| record.failed("a client", side, Instant::now(), "503".to_owned(), wrong);
    let moment = record.open("503 once", Kind::Moment, None);
    fail("stays", false);
    record.close(moment);
    let outage = record.open("kill -9", Kind::Outage, Some("restarts"));
    fail("restarts", false);
    fail("restarts", true);
    fail("stays", false);
    record.close(outage);
    tokio::time::advance(HEALED).await;
    fail("restarts", false);
    tokio::time::advance(Duration::from_secs(1)).await;
    fail("restarts", false);
    let verdict = record.verdict();
    assert_eq!((verdict.avoidable, verdict.corrupt), (3, 1), "{}", verdict.text);
}
