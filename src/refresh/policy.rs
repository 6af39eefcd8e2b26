//! When to renew, and when to try again. Pure: the dice are thrown by [`Jitter`], which a test can seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::rand;

use super::Expiring;
use crate::clock::{Timestamp, later, until};

/// The share of a lifetime that is left when a value is renewed at the latest.
const MARGIN: f64 = 0.3;
/// The share of a lifetime that is left when it is renewed at the earliest; a 900 s session must not be renewed for ever.
const WIDEST_MARGIN: f64 = 0.5;
/// The share of a lifetime over which nodes that started together are spread.
const SPREAD: f64 = 0.1;
/// No two renewals in a row come closer than this, however short the answers' lives are.
pub(super) const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// After a failed renewal, the share of what is left that passes before the next: attempts get denser towards expiry.
const RETRY_SHARE: f64 = 0.15;
/// The longest pause while there is still something to serve.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The longest pause while there is nothing to serve: a repaired policy must heal a node within half a minute.
const LONGEST_OUTAGE_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that another side can ask for (the official SDKs stop listening at the same value).
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(120);
/// Over how long nodes that were throttled together are spread before they come back; twice as long with each
/// further time. A node that is throttled alone is back within the patience of a pull.
const FIRST_SPREAD: Duration = Duration::from_secs(8);
/// The widest such spread: over this, ten thousand nodes make 67 calls a second, give or take 8, and STS takes 100 of an
/// account (STS FAQ).
const WIDEST_SPREAD: Duration = Duration::from_secs(150);

/// Nodes that start together fetch their first login within this time of each other, unless somebody waits for it. The
/// reasoning is that of the widest spread after throttling.
pub(crate) const START_SPREAD: Duration = WIDEST_SPREAD;

/// The same for what a pull asks of the registry itself, where the failure is one that passes: pulls wait for it, and come
/// more often than this anyway. A node must not go on failing them for long after three faults that had nothing to do with
/// each other.
const LONGEST_PULL_PAUSE: Duration = Duration::from_secs(3);

/// How early to renew, and how soon to try again.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// `expiringThreshold`: renew when less than this is left, but never with more than half of a lifetime left; close to
    /// that limit the spread over time goes before the threshold.
    expiring_threshold: Duration,
    /// The longest pause after failures that pass, while there is nothing to serve.
    longest_outage_pause: Duration,
}

impl Policy {
    /// For what is bought from the cloud's APIs, whose calls are few and counted.
    #[must_use]
    pub const fn new(expiring_threshold: Duration) -> Self {
        Self { expiring_threshold, longest_outage_pause: LONGEST_OUTAGE_PAUSE }
    }

    /// For what a pull asks of the registry and its realm.
    #[must_use]
    pub const fn of_pulls() -> Self {
        Self { expiring_threshold: Duration::ZERO, longest_outage_pause: LONGEST_PULL_PAUSE }
    }

    /// The same for failures that do not pass by themselves.
    pub(crate) const fn lasting(self) -> Self {
        Self { longest_outage_pause: LONGEST_OUTAGE_PAUSE, ..self }
    }

    /// When `held` is due to be renewed; `dice` is 0 to 1 and decides how early within the spread.
    pub(crate) fn renewal<T>(self, held: &Expiring<T>, now: Timestamp, dice: f64) -> Timestamp {
        if held.expires == Timestamp::MAX {
            return Timestamp::MAX;
        }
        let lifetime = held.lifetime();
        let margin = lifetime.mul_f64(MARGIN).max(self.expiring_threshold);
        let earliest = (margin + lifetime.mul_f64(SPREAD)).min(lifetime.mul_f64(WIDEST_MARGIN));
        let left = earliest.saturating_sub(lifetime.mul_f64(SPREAD * dice));
        let after = until(now, held.expires).saturating_sub(left);
        later(now, after.max(LEAST_PAUSE))
    }

    /// How long to wait after the `failures`-th failure in a row (1 is the first).
    ///
    /// `left` is how long something usable is still held, `asked` what the other side asked for, and how often it has by
    /// now. That is a lower bound: whoever was told the same at the same moment must not come back at the same moment, and
    /// the more often it was said, the further they are spread.
    pub(crate) fn back_off(self, failures: u32, left: Duration, asked: Option<(Duration, u32)>, dice: f64) -> Duration {
        let own = if left.is_zero() {
            let doubled = LEAST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8));
            doubled.min(self.longest_outage_pause).mul_f64(0.5 + dice)
        } else {
            left.mul_f64(RETRY_SHARE * (0.5 + dice)).clamp(LEAST_PAUSE, LONGEST_PAUSE)
        };
        let Some((asked, times)) = asked.filter(|(asked, _)| !asked.is_zero()) else { return own };
        let asked = asked.min(LONGEST_ASKED_PAUSE);
        let wider = FIRST_SPREAD.saturating_mul(1 << times.saturating_sub(1).min(8)).min(WIDEST_SPREAD);
        // What was asked for is obeyed as long as it does not let the last usable value die unattended.
        let (asked, spread) = if left.is_zero() { (asked, wider) } else { (asked.min(left / 2), wider.min(left / 4)) };
        own.max(asked + spread.mul_f64(dice))
    }
}

/// Dice for spreading renewals over time; not for secrets.
#[derive(Debug)]
pub struct Jitter(AtomicU64);

impl Jitter {
    /// Dice that no other node throws.
    #[must_use]
    pub fn random() -> Self {
        let mut seed = [0; 8];
        // Without entropy the dice fall as they fell before, which spreads one node's renewals all the same.
        rand::fill(&mut seed).ok();
        Self::seeded(u64::from_le_bytes(seed))
    }

    /// Dice that fall the same way each time.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next throw, from 0 to 1 (SplitMix64).
    pub fn throw(&self) -> f64 {
        let state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        f64::from(u32::try_from(mixed >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Jitter, Policy};
    use crate::clock::{Timestamp, later, until};
    use crate::refresh::Expiring;

    fn left_at_renewal(lifetime: u64, threshold: u64, dice: f64) -> u64 {
        let issued = Timestamp::UNIX_EPOCH;
        let held = Expiring { value: (), issued, expires: later(issued, Duration::from_secs(lifetime)) };
        let policy = Policy::new(Duration::from_secs(threshold));
        until(policy.renewal(&held, issued, dice), held.expires).as_secs()
    }

    #[test]
    fn an_hour_is_renewed_between_60_and_70_percent() {
        assert_eq!((left_at_renewal(3600, 900, 0.0), left_at_renewal(3600, 900, 1.0)), (1440, 1080));
    }

    #[test]
    fn the_threshold_is_kept_but_never_takes_more_than_half_of_a_life() {
        assert!(left_at_renewal(43200, 14400, 1.0) >= 14400);
        assert_eq!(left_at_renewal(900, 900, 0.0), 450);
        assert!(left_at_renewal(900, 900, 1.0) >= 360);
    }

    #[test]
    fn what_never_dies_is_never_renewed() {
        let held = Expiring::lasting((), Timestamp::UNIX_EPOCH);
        assert_eq!(Policy::new(Duration::ZERO).renewal(&held, Timestamp::UNIX_EPOCH, 0.5), Timestamp::MAX);
    }

    #[test]
    fn attempts_get_denser_towards_expiry() {
        let pause = |left| Policy::new(Duration::ZERO).back_off(3, Duration::from_secs(left), None, 0.5).as_secs();
        assert_eq!((pause(1000), pause(100), pause(2)), (150, 15, 1));
    }

    #[test]
    fn an_outage_backs_off_to_half_a_minute_and_obeys_what_is_asked() {
        let pause = |failures, asked| {
            let asked = Some((Duration::from_secs(asked), failures));
            Policy::new(Duration::ZERO).back_off(failures, Duration::ZERO, asked, 0.5).as_secs()
        };
        assert_eq!((pause(1, 0), pause(2, 0), pause(3, 0), pause(6, 0)), (1, 2, 4, 30));
        assert_eq!((pause(1, 20), pause(1, 86400)), (24, 124));
        let of_pulls = |policy: Policy| policy.back_off(6, Duration::ZERO, None, 0.5).as_secs();
        assert_eq!((of_pulls(Policy::of_pulls()), of_pulls(Policy::of_pulls().lasting())), (3, 30));
    }

    #[test]
    fn nodes_that_are_told_the_same_pause_come_back_spread_and_ever_wider() {
        let pause = |failures, times, dice| {
            let asked = Some((Duration::from_secs(2), times));
            Policy::new(Duration::ZERO).back_off(failures, Duration::ZERO, asked, dice)
        };
        // A throttling after failures of another kind is the first of its kind.
        for (failures, times, least, most) in [(1, 1, 2, 10), (2, 2, 2, 18), (3, 1, 2, 10), (20, 20, 15, 152)] {
            let (low, high) = (pause(failures, times, 0.0), pause(failures, times, 1.0));
            assert_eq!((low.as_secs(), high.as_secs()), (least, most), "failure {failures}, throttling {times}");
        }
    }

    #[test]
    fn a_long_asked_pause_does_not_let_the_last_value_die_unattended() {
        let pause =
            Policy::new(Duration::ZERO).back_off(1, Duration::from_secs(60), Some((Duration::from_secs(120), 1)), 0.5);
        assert_eq!(pause, Duration::from_secs(34));
    }

    #[test]
    fn seeded_dice_repeat_and_stay_between_0_and_1() {
        let (one, other) = (Jitter::seeded(7), Jitter::seeded(7));
        for _ in 0..1000 {
            let throw = one.throw();
            assert!((0.0..=1.0).contains(&throw));
            assert!((throw - other.throw()).abs() < f64::EPSILON);
        }
    }
}
