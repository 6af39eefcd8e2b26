//! How many blobs may be streamed at once in the memory that the daemon has.

use crate::upstream;

const MIB: u64 = 1024 * 1024;

/// What the daemon takes beside blobs: 16 MiB with some images pulled (`cargo bench --bench pull -- memory`), manifests that
/// it remembers (8 MiB at most), requests that wait, and what the allocator keeps.
const REST: u64 = 40 * MIB;

/// What a stream takes beside what is read ahead, if its reader is slow: buffers towards both sides
/// (`tests/it/footprint.rs`).
const STREAM: u64 = MIB / 2;

/// Streams that there are even where the limit is too low for the configured read-ahead: those of a few pulls.
const FEWEST: usize = 16;

/// The streams for which `limit` bytes suffice, with `memory` bytes for blobs (`blobs.memory`).
pub(super) fn streams(limit: u64, memory: u64) -> usize {
    let left = limit.saturating_sub(REST + upstream::read_ahead(memory));
    usize::try_from(left / STREAM).unwrap_or(usize::MAX).max(FEWEST)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FEWEST, MIB, streams};

    #[test]
    fn what_is_left_of_the_limit_is_for_streams() {
        assert_eq!(streams(256 * MIB, 128 * MIB), 240);
        assert_eq!(streams(256 * MIB, 64 * MIB), 336);
        assert_eq!(streams(64 * MIB, 128 * MIB), FEWEST);
        assert!(streams(u64::MAX, 128 * MIB) > 1_000_000);
    }

    #[test]
    fn two_hundred_pulls_with_three_layers_each_have_room_in_what_is_shipped() {
        const PULLS: usize = 200;
        const LAYERS: usize = 3;
        // Of a pod's containers the daemon has the highest limit.
        let highest = |file: &str, before: &str, unit: &str| {
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
            let limit = |line: &str| line.trim().strip_prefix(before)?.strip_suffix(unit)?.parse::<u64>().ok();
            text.lines().filter_map(limit).max().unwrap()
        };
        for mebibytes in [
            highest("daemonset/base/daemonset.yaml", "memory: ", "Mi"),
            highest("systemd/acr-pull-proxy.service", "MemoryHigh=", "M"),
        ] {
            let streams = streams(mebibytes * MIB, 128 * MIB);
            assert!(streams >= PULLS * LAYERS);
            // What README.md says, and the comments beside the limits.
            assert_eq!((mebibytes, streams), (448, 624));
        }
    }
}
