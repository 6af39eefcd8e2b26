//! How many connections one blob is worth, found by measuring. Pure.
//!
//! A connection to a bucket may have a speed limit of its own, signed into the URL, or a round trip so long that its
//! window is the limit; then two are twice as fast. Or the line is full with one, and a second only costs. So a stream
//! begins with one, doubles as long as that made everything faster, and goes back to where it was when it did not. Where
//! one is likely to be slow, it begins with all of them, since a layer is over before growth has found that out; a stream
//! that lasts halves them as long as that makes nothing slower. Only what was compared is taken over by others.
//!
//! What is compared is what all streams together bring: one that takes a share from another brings nothing.

use std::time::Duration;

use tokio::time::Instant;

/// How long a rate is measured. Long enough for some ten reads at 15 MB/s, short enough to be at four connections before
/// a layer of 25 MB has got far.
const WINDOW: Duration = Duration::from_millis(40);
/// The same where fewer connections may be enough: past the slow start of a line of 100 ms, and no hurry.
const TRIAL: Duration = Duration::from_millis(500);
/// By how much the rate must grow for a doubling to be kept, or fall for a halving not to be: doubled would be 2, and a
/// line that others use as well gives a fair part of it.
const WORTH: f64 = 1.2;
/// How long a decision against more connections holds, and how long what one stream found out is taken over by the next.
const HOLD: Duration = Duration::from_secs(5);
/// Bytes per second of all streams that are enough: containerd takes about 3 s of a core to unpack a GiB, so a layer that
/// comes faster only waits, and more connections for it would cost memory and gain nothing.
pub(super) const ENOUGH: f64 = 250e6;
/// The longest that what was found out is taken over.
const REMEMBERED: Duration = Duration::from_secs(60);

/// The number of connections of one stream.
#[derive(Debug)]
pub(super) struct Width {
    now: usize,
    most: usize,
    /// Whether it began with what is only likely.
    guessed: bool,
    /// Start of the measurement that is going on.
    begun: Option<(Instant, Seen)>,
    /// The number and the rate before the last change.
    before: Option<(usize, f64)>,
    /// Nothing is tried before.
    hold: Option<Instant>,
}

/// What a stream sees of all streams of its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Bytes that have come for any of them.
    pub(super) arrived: u64,
    /// How many there are.
    pub(super) streams: usize,
    /// Whether this one has as many connections as it shall, and all deliver.
    pub(super) steady: bool,
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
        Self { now: width, most: most.max(1), guessed: learnt.is_none() && slow, begun: None, before: None, hold }
    }

    /// How many connections the stream shall have.
    pub(super) const fn get(&self) -> usize {
        self.now
    }

    /// Takes note of how it goes. Answers with what was found out, once it was.
    pub(super) fn observe(&mut self, now: Instant, seen: Seen) -> Option<Learnt> {
        let (since, before) = *self.begun.get_or_insert((now, seen));
        if !seen.steady || seen.streams != before.streams {
            self.begun = None;
            return None;
        }
        let took = now.duration_since(since);
        let window = if self.guessed { TRIAL } else { WINDOW };
        if took < window || self.hold.is_some_and(|until| now < until) {
            return None;
        }
        self.begun = Some((now, seen));
        if self.hold.take().is_some() {
            // The measurement spans the whole hold; a fresh one tells how it is now.
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "bytes of a few seconds lie far below 2^52")]
        let rate = (seen.arrived - before.arrived) as f64 / took.as_secs_f64();
        match self.before.take() {
            Some((narrower, slower)) if narrower < self.now && rate < slower * WORTH => self.settle(narrower, now),
            Some((wider, faster)) if wider > self.now && rate * WORTH < faster => self.settle(wider, now),
            _ if self.guessed && self.now > 1 => self.change(self.now / 2, rate),
            _ if !self.guessed && self.now < self.most && rate < ENOUGH => self.change(self.now * 2, rate),
            _ => self.settle(self.now, now),
        }
    }

    /// Tries another number, to be compared with the present `rate`.
    fn change(&mut self, to: usize, rate: f64) -> Option<Learnt> {
        self.before = Some((self.now, rate));
        self.now = to.min(self.most);
        self.begun = None;
        None
    }

    /// Stays with a number that was compared with another.
    fn settle(&mut self, width: usize, now: Instant) -> Option<Learnt> {
        self.now = width;
        self.guessed = false;
        self.hold = Some(now + HOLD);
        Some(Learnt { width, at: now })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{HOLD, Learnt, Seen, TRIAL, WINDOW, Width};

    const fn seen(arrived: u64) -> Seen {
        Seen { arrived, streams: 1, steady: true }
    }

    /// Lets a stream run over a line whose rate depends on the connections, and says where it ends.
    fn run(width: &mut Width, steps: u32, rate: impl Fn(usize) -> u64) -> (usize, Option<Learnt>) {
        let start = Instant::now();
        let (mut arrived, mut learnt) = (0, None);
        for step in 0..steps {
            arrived += rate(width.get()) / 100;
            learnt = width.observe(start + Duration::from_millis(10) * step, seen(arrived)).or(learnt);
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
        let guessed = Width::new(8, learnt, true, Instant::now());
        assert_eq!(guessed.get(), 1, "what was measured outweighs what was guessed");
    }

    #[test]
    fn a_guess_is_given_up_where_fewer_bring_as_much_and_is_nothing_learnt() {
        let mut width = Width::new(8, None, true, Instant::now());
        let (now, learnt) = run(&mut width, 40, |_| 5_000_000);
        assert!(now == 8 && learnt.is_none(), "{now} {learnt:?}");
        let (now, learnt) = run(&mut width, 400, |_| 5_000_000);
        assert_eq!((now, learnt.unwrap().width()), (1, 1));

        let mut width = Width::new(8, None, true, Instant::now());
        let (now, learnt) = run(&mut width, 400, |connections| 15_000_000 * connections.min(4) as u64);
        assert_eq!((now, learnt.unwrap().width()), (4, 4));
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
            width.observe(later + WINDOW * step, seen(u64::from(step + 1) * 1_000_000 * width.get() as u64));
        }
        assert_eq!(width.get(), 2);
    }

    #[test]
    fn nothing_is_judged_while_a_connection_is_being_opened_or_streams_come_and_go() {
        let start = Instant::now();
        for what in [|step: u32| (step as usize, true), |_| (1, false)] {
            let mut width = Width::new(4, None, false, start);
            for step in 0..100 {
                let (streams, steady) = what(step);
                assert!(width.observe(start + TRIAL * step, Seen { arrived: 0, streams, steady }).is_none());
            }
            assert_eq!(width.get(), 1);
        }
    }
}
