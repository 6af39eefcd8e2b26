//! The day after: the renewals of the same fleet, without tasks, by the policy alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{ALLOWED, LIFE, NODES, POLICY, START_SPREAD};
use crate::clock::{Timestamp, later};
use crate::refresh::{Expiring, Jitter};

const DAY: usize = 86_400;
/// Where the starts have died away: two lives of a session.
const SETTLED: usize = 7_200;

#[test]
fn a_day_of_ten_thousand_nodes_stays_far_below_the_limit() {
    let mut seconds = vec![0_u32; DAY];
    let dice = Jitter::seeded(7);
    let first = |_| later(Timestamp::UNIX_EPOCH, START_SPREAD.mul_f64(dice.throw()));
    let mut due: BinaryHeap<_> = (0..NODES).map(|node| Reverse(first(node))).collect();
    while let Some(Reverse(now)) = due.pop() {
        let Some(calls) = usize::try_from(now.as_second()).ok().and_then(|second| seconds.get_mut(second)) else {
            break;
        };
        *calls += 1;
        let held = Expiring { value: (), issued: now, expires: later(now, LIFE) };
        due.push(Reverse(POLICY.renewal(&held, now, dice.throw())));
    }
    let peak = |from: usize| seconds[from..].iter().copied().max().unwrap();
    let total: u32 = seconds.iter().sum();
    let per_node = f64::from(total) / NODES as f64;
    let mean = f64::from(seconds[SETTLED..].iter().sum::<u32>()) / (DAY - SETTLED) as f64;
    println!("a day: {per_node:.1} calls of each node, {mean:.1} calls/s, at most {} later", peak(SETTLED));
    let throttled: u32 = seconds[180..].iter().map(|calls| calls.saturating_sub(ALLOWED)).sum();
    assert_eq!(throttled, 0, "the fleet throttles itself");
    assert!(peak(SETTLED) <= 40, "{}", peak(SETTLED));
    // An hour is renewed at 60 to 70 % of its life: 36.9 times a day.
    assert!((36.0..=39.0).contains(&per_node), "{per_node}");
}
