//! Where the processors are while an image is pulled: what a ratio of two times does not tell.

use std::fmt;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::interval;

use crate::support::processor_seconds;

/// How long one line of the profile is: ten of the ticks that the kernel counts in.
const SLICE: Duration = Duration::from_millis(100);
/// How wide a bar is that stands for all cores.
const WIDTH: usize = 50;

/// A process that is watched, and its letter in the bars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    pub(crate) letter: char,
    pub(crate) pid: u32,
}

/// Processor seconds of each watched process in one slice.
type Slice = Vec<f64>;

/// A watch over one pull.
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    slices: JoinHandle<Vec<Slice>>,
}

impl Watch {
    pub(crate) fn start(watched: &[Watched]) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let pids: Vec<u32> = watched.iter().map(|process| process.pid).collect();
        let slices = tokio::spawn(async move {
            let spent = || pids.iter().map(|pid| processor_seconds(*pid)).collect::<Vec<_>>();
            let (mut slices, mut before) = (Vec::new(), spent());
            let mut ends = interval(SLICE);
            ends.tick().await;
            loop {
                let last = tokio::select! {
                    _ = ends.tick() => false,
                    _ = &mut stopped => true,
                };
                let now = spent();
                slices.push(now.iter().zip(&before).map(|(now, before)| now - before).collect());
                before = now;
                if last {
                    return slices;
                }
            }
        });
        Self { stop, slices }
    }

    pub(crate) async fn stop(self) -> Vec<Slice> {
        self.stop.send(()).ok();
        self.slices.await.expect("the watch ends")
    }
}

/// The mean of some pulls.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    watched: Vec<(&'static str, char)>,
    pulls: Vec<Vec<Slice>>,
}

impl Profile {
    pub(crate) fn add(&mut self, watched: &[Watched], slices: Vec<Slice>) {
        self.watched = watched.iter().map(|process| (process.name, process.letter)).collect();
        self.pulls.push(slices);
    }

    /// What process `which` spent in slice `number`, over all pulls; of those that had ended by then: nothing.
    fn mean(&self, number: usize, which: usize) -> f64 {
        let spent: f64 = self.pulls.iter().filter_map(|slices| slices.get(number)).map(|slice| slice[which]).sum();
        spent / self.pulls.len() as f64
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get) as f64;
        let slices = self.pulls.iter().map(Vec::len).max().unwrap_or_default();
        for number in 0..slices {
            let share = |which| self.mean(number, which) / (cores * SLICE.as_secs_f64());
            let bar: String = (0..self.watched.len())
                .flat_map(|which| {
                    let length = (share(which) * WIDTH as f64).round().max(0.0) as usize;
                    std::iter::repeat_n(self.watched[which].1, length)
                })
                .collect();
            let busy: f64 = (0..self.watched.len()).map(share).sum();
            let from = SLICE.as_secs_f64() * number as f64;
            writeln!(f, "  {from:4.1} s  {bar:WIDTH$.WIDTH$}  {:3.0} % of {cores} cores", busy * 100.0)?;
        }
        for (which, (name, letter)) in self.watched.iter().enumerate() {
            let spent: f64 = (0..slices).map(|number| self.mean(number, which)).sum();
            writeln!(f, "  {letter} {name}: {spent:.2} s")?;
        }
        Ok(())
    }
}
