//! Which part of a blob is asked for next. Pure.
//!
//! Parts are asked for in order and without gap. With one connection, the next part is asked for shortly before the last
//! byte of the present one, so that no round trip passes between them; it is not read ahead and needs no memory. With
//! several, parts are read ahead, as many as there are connections and as far as the memory goes: what was asked for and
//! has not gone out yet never exceeds the stream's share, whatever the reader does.

use std::ops::Range;

/// The first part, which is asked for before the length of the blob is known: small enough to leave most of a layer to
/// other connections, large enough that small blobs are one request.
pub(super) const FIRST: u64 = 4 * 1024 * 1024;
/// The smallest part that is read ahead; below, round trips cost more than a connection brings.
pub(super) const LEAST: u64 = 1024 * 1024;
/// The largest part of a stream with one connection, where a part is only a place to widen at.
const LARGEST_PLAIN: u64 = 64 * 1024 * 1024;
/// How long before the end of a part the next is asked for: what 15 MB/s bring in 70 ms, a long round trip.
const LEAD: u64 = 1024 * 1024;

/// The bytes of a blob that nobody has been asked for.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    rest: Range<u64>,
    /// Length of the last part of a plain stream.
    plain: u64,
    /// `blobs.partSize`.
    part_size: u64,
    /// While the first parts are dealt out over a line that begins slowly.
    growth: Option<Growth>,
}

/// Parts of which each is longer than the one before.
#[derive(Debug, Clone, Copy)]
struct Growth {
    last: u64,
    step: u64,
    left: u64,
}

/// How a stream stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Connections it shall have.
    pub(super) width: usize,
    /// Parts that bytes are still to come for.
    pub(super) open: usize,
    /// Parts asked for behind the one that is being read.
    pub(super) waiting: usize,
    /// Bytes that are still to be read of the present part.
    pub(super) left: u64,
    /// Bytes that are still to be read of the whole.
    pub(super) unread: u64,
    /// Bytes of memory held.
    pub(super) held: u64,
    /// Bytes of memory it may hold.
    pub(super) share: u64,
}

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) bytes: Range<u64>,
    /// Whether it is read into memory at once; else it waits at the blob host for its turn.
    pub(super) ahead: bool,
}

impl Plan {
    /// What follows after the first part.
    pub(super) const fn new(rest: Range<u64>, part_size: u64) -> Self {
        Self { rest, plain: FIRST, part_size, growth: None }
    }

    /// A plan for all of `length` bytes over `width` connections that begin slowly and double their rate with each round
    /// trip, and the length of its first part. Each part is longer than the one before, so that a reader in order has the
    /// next as soon as one is over, instead of waiting for a first one that takes as long as all others.
    pub(super) fn growing(length: u64, width: u64, part_size: u64) -> (Self, u64) {
        let even = length.div_ceil(width);
        let longest = part_size.min(even.saturating_add(even / 2));
        let first = if even < part_size { 2 * even - longest } else { part_size / 2 };
        let first = first.max(LEAST).min(length);
        let step = longest.saturating_sub(first) / width.saturating_sub(1).max(1);
        let growth = Some(Growth { last: first, step, left: width - 1 });
        (Self { rest: first..length, plain: FIRST, part_size, growth }, first)
    }

    /// What to ask for now, if anything. It counts as asked for once [`take`](Self::take) is called with it.
    pub(super) fn next(&self, standing: &Standing) -> Option<Part> {
        let rest = self.rest();
        if rest == 0 {
            return None;
        }
        let part = |length: u64, ahead| Some(Part { bytes: self.rest.start..self.rest.start + length, ahead });
        if standing.width > 1 && standing.open < standing.width {
            let (width, free) = (standing.width as u64, (standing.width - standing.open) as u64);
            // What is not read yet is dealt out evenly, so that all connections end at about the same time; where little
            // would be left over for one more round, the free ones take that too.
            let even = standing.unread.div_ceil(width);
            let last_round = rest <= free.saturating_mul(even.saturating_add(even / 2));
            let fair = match self.growth {
                Some(Growth { last, step, left: 1.. }) => last + step,
                _ if last_round => rest.div_ceil(free),
                _ => even,
            };
            // A last part shorter than the shortest would cost a round trip for nothing.
            let fair = if rest.saturating_sub(fair) < LEAST { rest } else { fair };
            let fair = fair.min(self.part_size).min(standing.share / width).max(LEAST).min(rest);
            if standing.held + fair <= standing.share {
                return part(fair, true);
            }
        }
        let due = standing.waiting == 0 && standing.left <= LEAD;
        if due { part((self.plain * 2).min(LARGEST_PLAIN).min(rest), false) } else { None }
    }

    /// Whether all of it has been asked for.
    pub(super) const fn is_dealt_out(&self) -> bool {
        self.rest() == 0
    }

    /// How many bytes nobody has been asked for.
    const fn rest(&self) -> u64 {
        self.rest.end - self.rest.start
    }

    /// Notes that a part was asked for.
    pub(super) fn take(&mut self, part: &Part) {
        self.rest.start = part.bytes.end;
        if let Some(growth) = &mut self.growth {
            growth.last = part.bytes.end - part.bytes.start;
            growth.left = growth.left.saturating_sub(1);
        }
        if !part.ahead {
            self.plain = (self.plain * 2).min(LARGEST_PLAIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};

    use super::{FIRST, LARGEST_PLAIN, LEAD, LEAST, Part, Plan, Standing};

    const MIB: u64 = 1024 * 1024;
    const IDLE: Standing =
        Standing { width: 1, open: 1, waiting: 0, left: 0, unread: 25 * MIB, held: 0, share: 64 * MIB };

    #[test]
    fn one_connection_asks_for_the_next_part_when_the_present_one_is_nearly_over() {
        let mut plan = Plan::new(FIRST..1000 * MIB, 8 * MIB);
        assert_eq!(plan.next(&Standing { left: LEAD + 1, ..IDLE }), None);
        let part = plan.next(&IDLE).unwrap();
        assert_eq!(part, Part { bytes: FIRST..3 * FIRST, ahead: false });
        plan.take(&part);
        assert_eq!(plan.next(&Standing { waiting: 1, ..IDLE }), None);
        for _ in 0..5 {
            let part = plan.next(&IDLE).unwrap();
            plan.take(&part);
        }
        let Part { bytes, .. } = plan.next(&IDLE).unwrap();
        assert_eq!(bytes.end - bytes.start, LARGEST_PLAIN);
    }

    #[test]
    fn several_connections_deal_the_rest_out_so_that_they_end_together() {
        let mut plan = Plan::new(FIRST..25 * MIB, 8 * MIB);
        let mut lengths = Vec::new();
        for open in 1..4 {
            let part = plan.next(&Standing { width: 4, open, left: FIRST, ..IDLE }).unwrap();
            assert!(part.ahead);
            lengths.push(part.bytes.end - part.bytes.start);
            plan.take(&part);
        }
        assert_eq!(lengths, [7 * MIB; 3], "none is left for another round trip");
        assert!(plan.is_dealt_out());

        // A blob of many rounds: parts of the usual size first, shorter ones as the end comes near.
        let mut plan = Plan::new(FIRST..100 * MIB, 8 * MIB);
        let mut lengths = Vec::new();
        while let Some(part) = plan.next(&Standing { width: 4, open: 3, unread: plan.rest(), ..IDLE }) {
            lengths.push(part.bytes.end - part.bytes.start);
            plan.take(&part);
        }
        assert_eq!(lengths[0], 8 * MIB);
        assert!(lengths[..lengths.len() - 1].is_sorted_by(|a, b| a >= b) && lengths.len() < 25, "{lengths:?}");
    }

    #[test]
    fn over_a_line_that_begins_slowly_each_part_is_longer_than_the_one_before() {
        for length in [5 * MIB, 25_005_942, 200 * MIB] {
            let (mut plan, first) = Plan::growing(length, 4, 8 * MIB);
            let mut lengths = vec![first];
            for open in 1..4 {
                let Some(part) = plan.next(&Standing { width: 4, open, unread: length, left: first, ..IDLE }) else {
                    break;
                };
                lengths.push(part.bytes.end - part.bytes.start);
                plan.take(&part);
            }
            // The last takes what is left.
            assert!(lengths[..3].is_sorted() && lengths.iter().all(|length| *length <= 8 * MIB), "{lengths:?}");
            assert_eq!(plan.is_dealt_out(), length < 32 * MIB, "{lengths:?}");
        }
    }

    #[test]
    fn without_memory_a_stream_goes_on_with_one_connection() {
        let plan = Plan::new(FIRST..25 * MIB, 8 * MIB);
        let poor = Standing { width: 4, share: 0, ..IDLE };
        assert!(!plan.next(&poor).unwrap().ahead);
        assert_eq!(plan.next(&Standing { left: 2 * LEAD, ..poor }), None);
    }

    fn standing() -> impl Strategy<Value = Standing> {
        let memory = prop_oneof![Just(0), 0..200 * MIB];
        (1_usize..9, 0_usize..9, 0_usize..9, 0..20 * MIB, 0..3000 * MIB, memory.clone(), memory).prop_map(
            |(width, open, waiting, left, unread, held, share)| Standing {
                width,
                open,
                waiting,
                left,
                unread,
                held,
                share,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn parts_cover_the_blob_in_order_and_within_bounds(
            total in FIRST..3000 * MIB,
            part_size in LEAST..64 * MIB,
            standings in proptest::collection::vec(standing(), 1..200),
        ) {
            let mut plan = Plan::new(FIRST..total, part_size);
            let mut reached = FIRST;
            for standing in standings {
                let Some(part) = plan.next(&standing) else { continue };
                let length = part.bytes.end - part.bytes.start;
                assert!(length > 0 && part.bytes.start == reached && part.bytes.end <= total);
                if part.ahead {
                    assert!(standing.held + length <= standing.share && standing.open < standing.width);
                    assert!(length <= part_size.max(LEAST));
                } else {
                    assert!(standing.waiting == 0 && length <= LARGEST_PLAIN);
                }
                plan.take(&part);
                reached = part.bytes.end;
            }
            // Whatever came before, a reader who waits gets the rest.
            while let Some(part) = plan.next(&Standing { share: 0, ..IDLE }) {
                assert_eq!(part.bytes.start, reached);
                reached = part.bytes.end;
                plan.take(&part);
            }
            assert_eq!(reached, total);
        }
    }
}
