//! How many connections one blob is worth, found by measuring. Pure.
//!
//! A connection to a bucket may have a speed limit of its own, signed into the URL, or a round trip so long that its
//! window is the limit; then two are twice as fast. Or the line is full with one, and a second only costs. So a stream
//! begins with one, doubles as long as that made it faster, and goes back to where it was when it did not. Where it is
//! known beforehand that one will be slow, it begins with all of them: a layer is over before growth has found that out.

use std::time::Duration;

use tokio::time::Instant;

/// How long a rate is measured. Long enough for some ten reads at 15 MB/s, short enough to be at four connections before
/// a layer of 25 MB has got far.
const WINDOW: Duration = Duration::from_millis(40);
/// By how much the rate must grow for a doubling to be kept: doubled would be 2, and a line that others use as well
/// gives a fair part of it.
const WORTH: f64 = 1.2;
/// How long a decision against more connections holds, and how long what one stream found out is taken over by the next.
const HOLD: Duration = Duration::from_secs(5);
/// Bytes per second of one stream that are enough: containerd takes about 3 s of a core to unpack a GiB, so a layer that
/// comes faster only waits, and more connections for it would cost memory and gain nothing.
const ENOUGH: f64 = 250e6;
/// The longest that what was found out is taken over.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The number of connections of one stream.
#[derive(Debug)]
pub(super) struct Width {
    now: usize,
    most: usize,
    /// Start of the measurement that is going on, and the bytes until then.
    begun: Option<(Instant, u64)>,
    /// The number and the rate before the last doubling.
    before: Option<(usize, f64)>,
    /// Nothing is tried before.
    hold: Option<Instant>,
}

/// What the last stream found out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learnt {
    width: usize,
    at: Instant,
}

impl Learnt {
    /// Connections that one blob was worth.
    pub(super) const fn width(&self) -> usize {
        self.width
    }
}

impl Width {
    /// Begins with what was learnt; else with all where one connection is likely to be `slow`, and with one where not.
    pub(super) fn new(most: usize, learnt: Option<Learnt>, slow: bool, now: Instant) -> Self {
        let learnt = learnt.filter(|learnt| now.duration_since(learnt.at) < REMEMBERED);
        let guess = if slow { most } else { 1 };
        let width = learnt.map_or(guess, |learnt| learnt.width).clamp(1, most.max(1));
        // What another stream has just found out is not tried again at once.
        let hold = learnt.map(|learnt| learnt.at + HOLD);
        Self { now: width, most: most.max(1), begun: None, before: None, hold }
    }

    /// How many connections the stream shall have.
    pub(super) const fn get(&self) -> usize {
        self.now
    }

    /// Takes note that `arrived` bytes have come so far; `steady`: every connection asked for is delivering. Answers with
    /// what was found out, once it was.
    pub(super) fn observe(&mut self, now: Instant, arrived: u64, steady: bool) -> Option<Learnt> {
        if !steady {
            self.begun = None;
            return None;
        }
        let (since, before) = *self.begun.get_or_insert((now, arrived));
        let took = now.duration_since(since);
        if took < WINDOW || self.hold.is_some_and(|until| now < until) {
            return None;
        }
        self.begun = Some((now, arrived));
        if self.hold.take().is_some() {
            // The measurement spans the whole hold; a fresh one tells how it is now.
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "bytes of a few seconds lie far below 2^52")]
        let rate = (arrived - before) as f64 / took.as_secs_f64();
        match self.before.take() {
            Some((narrower, slower)) if rate < slower * WORTH => {
                self.now = narrower;
                self.hold = Some(now + HOLD);
                Some(Learnt { width: narrower, at: now })
            }
            _ if self.now < self.most && rate < ENOUGH => {
                self.before = Some((self.now, rate));
                self.now = (self.now * 2).min(self.most);
                self.begun = None;
                None
            }
            _ => {
                self.hold = Some(now + HOLD);
                Some(Learnt { width: self.now, at: now })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{HOLD, Learnt, WINDOW, Width};

    /// Lets a stream run over a line whose rate depends on the connections, and says where it ends.
    fn run(width: &mut Width, steps: u32, rate: impl Fn(usize) -> u64) -> (usize, Option<Learnt>) {
        let start = Instant::now();
        let (mut arrived, mut learnt) = (0, None);
        for step in 0..steps {
            arrived += rate(width.get()) / 100;
            learnt = width.observe(start + Duration::from_millis(10) * step, arrived, true).or(learnt);
        }
        (width.get(), learnt)
    }

    #[test]
    fn a_limit_for_each_connection_is_multiplied_up_to_what_is_allowed() {
        let mut width = Width::new(6, None, false, Instant::now());
        let (now, learnt) = run(&mut width, 40, |connections| 15_000_000 * connections as u64);
        assert_eq!((now, learnt.unwrap().width), (6, 6));
        assert_eq!(Width::new(6, learnt, false, Instant::now()).get(), 6);
        assert_eq!(Width::new(4, learnt, false, Instant::now()).get(), 4);
        assert_eq!(Width::new(4, None, true, Instant::now()).get(), 4);
    }

    #[test]
    fn a_line_that_one_connection_fills_gets_one() {
        let mut width = Width::new(8, None, false, Instant::now());
        let (now, learnt) = run(&mut width, 40, |_| 100_000_000);
        assert_eq!((now, learnt.unwrap().width()), (1, 1));
        assert_eq!(
            Width::new(8, learnt, true, Instant::now()).get(),
            1,
            "what was measured outweighs what was guessed"
        );
    }

    #[test]
    fn a_line_that_is_fast_enough_is_left_as_it_is() {
        let mut width = Width::new(8, None, false, Instant::now());
        let (now, learnt) = run(&mut width, 40, |connections| 300_000_000 * connections as u64);
        assert_eq!((now, learnt.unwrap().width()), (1, 1));
    }

    #[test]
    fn what_was_just_found_out_is_not_tried_again_at_once() {
        let learnt = Some(Learnt { width: 1, at: Instant::now() });
        let mut width = Width::new(8, learnt, true, Instant::now());
        let (now, learnt) = run(&mut width, 40, |connections| 10_000_000 * connections as u64);
        assert!(now == 1 && learnt.is_none(), "{now} {learnt:?}");
    }

    #[test]
    fn growth_ends_where_it_brings_nothing() {
        let mut width = Width::new(8, None, false, Instant::now());
        let (now, _) = run(&mut width, 60, |connections| 10_000_000 * connections.min(2) as u64);
        assert_eq!(now, 2);
    }

    #[test]
    fn a_line_that_became_better_is_found_after_a_while() {
        let mut width = Width::new(2, None, false, Instant::now());
        assert_eq!(run(&mut width, 40, |_| 1_000_000).0, 1);
        let later = Instant::now() + HOLD * 2;
        for step in 0..4 {
            width.observe(later + WINDOW * step, u64::from(step + 1) * 1_000_000 * width.get() as u64, true);
        }
        assert_eq!(width.get(), 2);
    }

    #[test]
    fn nothing_is_judged_while_a_connection_is_being_opened() {
        let mut width = Width::new(4, None, false, Instant::now());
        let start = Instant::now();
        for step in 0..100 {
            assert!(width.observe(start + WINDOW * step, 0, false).is_none());
        }
        assert_eq!(width.get(), 1);
    }
}
