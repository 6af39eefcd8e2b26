//! Every order in which things can happen to a cell, up to a length: who asks, who leaves, how a load ends, what is
//! refused when, and how time passes.
//!
//! Whatever the cell changes it changes under its lock, so that two threads can only ever do to it what one does in some
//! order; and a caller can be overtaken only where it waits, which is for a load that the test ends when it likes. All
//! orders of those steps are tried one by one. What is read without the lock is tried by threads at the end of this file.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};

use super::{Failure, seconds};
use crate::clock::{Clock as _, ManualClock, SharedClock, Timestamp, later};
use crate::refresh::cell::{Outcome, RefreshCell};
use crate::refresh::{Expiring, Jitter, Load, Policy};
use crate::telemetry::metrics::{Hop, InstanceMetrics};

/// Steps of one order. From a held value, four are its renewal and a late refusal of it; 6,561 orders take a second.
const STEPS: u32 = 4;
/// How orders begin: with nothing, with a value, and with its renewal under way.
const BEGINNINGS: [&[Step]; 3] =
    [&[], &[Step::Ask, Step::Succeed], &[Step::Ask, Step::Succeed, Step::Ripen, Step::Ask]];
/// How long a value lives, in seconds.
const LIFE: u64 = 3600;
/// Turns after which nobody has anything left to do: a caller, its load, the landing, and the waiters of that.
const TURNS: usize = 8;

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ask,
    /// The first of those who wait goes away.
    Leave,
    Succeed,
    Fail,
    /// The load ends without a result.
    Break,
    RefuseLatest,
    RefuseFirst,
    /// The held value is due for renewal.
    Ripen,
    /// The held value dies.
    Die,
}

const ALL: [Step; 9] = [
    Step::Ask,
    Step::Leave,
    Step::Succeed,
    Step::Fail,
    Step::Break,
    Step::RefuseLatest,
    Step::RefuseFirst,
    Step::Ripen,
    Step::Die,
];

/// Loads that end when and how they are told. Values are numbers that count the loads.
#[derive(Debug)]
struct Gate {
    clock: Arc<ManualClock>,
    started: AtomicUsize,
    running: AtomicUsize,
    open: Semaphore,
    verdict: Mutex<Step>,
}

impl Load for Arc<Gate> {
    type Value = usize;
    type Error = Failure;

    async fn load(&self, _held: Option<Arc<Expiring<usize>>>) -> Result<Expiring<usize>, Arc<Failure>> {
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(self.running.fetch_add(1, Ordering::SeqCst), 0, "two loads at once");
        self.open.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        let issued = self.clock.now();
        let verdict = *self.verdict.lock().unwrap();
        match verdict {
            Step::Succeed => Ok(Expiring { value: number, issued, expires: later(issued, seconds(LIFE)) }),
            Step::Fail => Err(Arc::new(Failure::Down)),
            _ => resume_unwind(Box::new("a load that breaks")),
        }
    }
}

/// Somebody who asked.
struct Caller {
    asked: Timestamp,
    /// What was refused by then.
    refused: BTreeSet<usize>,
    waits: JoinHandle<Outcome<Arc<Gate>>>,
}

struct World {
    gate: Arc<Gate>,
    cell: RefreshCell<Arc<Gate>>,
    callers: Vec<Caller>,
    seen: Vec<Arc<Expiring<usize>>>,
    refused: BTreeSet<usize>,
    /// Steps that give a reason for one more load.
    reasons: usize,
}

impl World {
    fn new(metrics: &Arc<InstanceMetrics>) -> Self {
        let clock = ManualClock::at(later(Timestamp::UNIX_EPOCH, seconds(1_000_000)));
        let gate = Arc::new(Gate {
            clock: Arc::clone(&clock),
            started: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            open: Semaphore::new(0),
            verdict: Mutex::new(Step::Succeed),
        });
        let clock: SharedClock = clock;
        let policy = Policy::new(seconds(900));
        let cell = RefreshCell::new(Arc::clone(&gate), policy, clock, Hop::Bearer, Arc::clone(metrics));
        let cell = cell.with_jitter(Jitter::seeded(1));
        Self { gate, cell, callers: Vec::new(), seen: Vec::new(), refused: BTreeSet::new(), reasons: 1 }
    }

    async fn take(&mut self, step: Step) {
        let held = self.cell.peek();
        match step {
            Step::Ask => {
                let (asked, refused, cell) = (self.gate.clock.now(), self.refused.clone(), self.cell.clone());
                let waits = tokio::spawn(async move { cell.fetch().await });
                self.callers.push(Caller { asked, refused, waits });
            }
            Step::Leave => {
                if !self.callers.is_empty() {
                    self.callers.remove(0).waits.abort();
                }
            }
            Step::Succeed | Step::Fail | Step::Break => {
                if self.gate.running.load(Ordering::SeqCst) == 1 {
                    *self.gate.verdict.lock().unwrap() = step;
                    self.gate.open.add_permits(1);
                    self.reasons += usize::from(step != Step::Succeed);
                }
            }
            Step::RefuseLatest => self.refuse(self.seen.last().cloned()),
            Step::RefuseFirst => self.refuse(self.seen.first().cloned()),
            Step::Ripen => self.pass(seconds(LIFE * 3 / 4)),
            Step::Die => self.pass(seconds(LIFE)),
        }
        for _ in 0..TURNS {
            yield_now().await;
        }
        if step == Step::Ask && held.is_some() {
            assert!(self.callers.last().unwrap().waits.is_finished(), "a caller waits although there is a value");
        }
        self.look().await;
    }

    fn refuse(&mut self, value: Option<Arc<Expiring<usize>>>) {
        let Some(value) = value else { return };
        let held = self.cell.peek();
        self.cell.refused(&value, Arc::new(Failure::Refused));
        self.refused.insert(value.value);
        self.reasons += 1;
        match held {
            Some(held) if held.value != value.value => {
                assert_eq!(self.cell.peek(), Some(held), "the refusal of an old value dropped a new one");
            }
            _ => assert_eq!(self.cell.peek(), None, "a refused value is still held"),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.gate.clock.advance(time);
        self.reasons += 1;
    }

    /// What holds after each step.
    async fn look(&mut self) {
        let running = self.gate.running.load(Ordering::SeqCst);
        for caller in std::mem::take(&mut self.callers) {
            if !caller.waits.is_finished() {
                assert_eq!(running, 1, "a caller waits for nothing");
                self.callers.push(caller);
                continue;
            }
            if let Ok(value) = caller.waits.await.unwrap() {
                assert!(!caller.refused.contains(&value.value), "a caller was given what had been refused");
                assert!(value.is_usable(caller.asked), "a caller was given what had died");
                self.seen.push(value);
            }
        }
        let started = self.gate.started.load(Ordering::SeqCst);
        assert!(started <= self.reasons, "{started} loads for {} reasons", self.reasons);
    }

    /// However it went: once the back-off is over and loads succeed, everybody has a value.
    async fn heal(&mut self) {
        self.take(Step::Succeed).await;
        self.take(Step::Die).await;
        self.take(Step::Ask).await;
        self.take(Step::Succeed).await;
        assert!(self.callers.is_empty() && self.cell.peek().is_some(), "it does not heal");
    }
}

#[test]
fn every_order_of_events_keeps_every_promise() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let metrics = Arc::default();
    for beginning in BEGINNINGS {
        for order in 0..ALL.len().pow(STEPS) {
            let mut steps = beginning.to_vec();
            steps.extend((0..STEPS).map(|place| ALL[order / ALL.len().pow(place) % ALL.len()]));
            let run = async {
                let mut world = World::new(&metrics);
                for step in &steps {
                    world.take(*step).await;
                }
                world.heal().await;
            };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run)));
            assert!(outcome.is_ok(), "a promise is broken by {steps:?}");
        }
    }
}

/// Values that pass while threads read them; in a tenth of a second.
const VALUES: usize = 500;

/// Values without a pause, so that threads meet at the pointer and the time that are read without the lock.
#[derive(Debug)]
struct Quick(SharedClock, AtomicUsize);

impl Load for Quick {
    type Value = usize;
    type Error = Failure;

    async fn load(&self, _held: Option<Arc<Expiring<usize>>>) -> Result<Expiring<usize>, Arc<Failure>> {
        let issued = self.0.now();
        let value = self.1.fetch_add(1, Ordering::SeqCst) + 1;
        yield_now().await;
        Ok(Expiring { value, issued, expires: later(issued, seconds(LIFE)) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_that_read_while_values_change_never_go_back_in_time() {
    let clock = ManualClock::at(later(Timestamp::UNIX_EPOCH, seconds(1_000_000)));
    let load = Quick(Arc::clone(&clock) as SharedClock, AtomicUsize::new(0));
    let policy = Policy::new(seconds(900));
    let shared = Arc::clone(&clock) as SharedClock;
    let cell = RefreshCell::new(load, policy, shared, Hop::Bearer, Arc::default());
    let readers: Vec<_> = (0..4)
        .map(|reader| {
            let (cell, clock) = (cell.clone(), Arc::clone(&clock));
            tokio::spawn(async move {
                let (mut newest, mut turn) = (0, 0_u32);
                while newest < VALUES {
                    turn += 1;
                    yield_now().await;
                    let Ok(value) = cell.fetch().await else {
                        // Values that are refused too often are backed off until time passes.
                        clock.advance(seconds(LIFE));
                        continue;
                    };
                    assert!(value.value >= newest, "{} after {newest}", value.value);
                    newest = value.value;
                    // One lets time pass, and one refuses what others are just given.
                    match reader {
                        0 if turn.is_multiple_of(10) => clock.advance(seconds(LIFE * 3 / 4)),
                        1 if turn.is_multiple_of(7) => cell.refused(&value, Arc::new(Failure::Refused)),
                        _ => {}
                    }
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
}
