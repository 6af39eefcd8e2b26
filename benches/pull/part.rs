//! The parts of the benchmark, each of which runs alone too.

use crate::How;
use crate::table::Row;
use crate::{bytes, first_byte, growth, manifests, resident, whole};

/// Why a part, or a peer beside the daemon, was not measured.
#[derive(Debug, Clone)]
pub(crate) struct LeftOut(pub(crate) String);

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A registry that is far away.
    WideArea,
    /// A bucket that limits each connection.
    Limited,
    /// A registry on this machine.
    Local,
    /// Processor time for a GiB.
    Bytes,
    /// Requests a second.
    Manifests,
    /// Memory.
    Memory,
    /// Round trips to a blob.
    FirstByte,
    /// Many instances, many repositories.
    Growth,
}

impl Part {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 8] = [
        Self::WideArea,
        Self::Limited,
        Self::Local,
        Self::Bytes,
        Self::Manifests,
        Self::Memory,
        Self::FirstByte,
        Self::Growth,
    ];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WideArea => "wide-area",
            Self::Limited => "limited",
            Self::Local => "local",
            Self::Bytes => "bytes",
            Self::Manifests => "manifests",
            Self::Memory => "memory",
            Self::FirstByte => "first-byte",
            Self::Growth => "growth",
        }
    }

    /// What it measures.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::WideArea => "whole pull by containerd, 50 ms round trip",
            Self::Limited => "whole pull by containerd, 10 ms round trip, 15 MB/s per connection",
            Self::Local => "whole pull by containerd, no latency, no limit",
            Self::Bytes => "processor time for a GiB, beside nginx and haproxy",
            Self::Manifests => "requests a second for a manifest, beside nginx",
            Self::Memory => "resident memory",
            Self::FirstByte => "round trips to the first byte of a blob",
            Self::Growth => "cost with many instances and repositories",
        }
    }

    /// The part of that name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| {
            format!("there is no part {name}; there are {}, --runs N, --timeline, --profile and --json FILE", known())
        })
    }

    /// Takes its figures.
    pub(crate) async fn measure(self, how: How) -> Result<Vec<Row>, LeftOut> {
        match self {
            Self::WideArea => whole::measure(&whole::WIDE_AREA, how).await,
            Self::Limited => whole::measure(&whole::LIMITED, how).await,
            Self::Local => whole::measure(&whole::LOCAL, how).await,
            Self::Bytes => bytes::measure(how.runs).await,
            Self::Manifests => manifests::measure(how.runs).await,
            Self::Memory => Ok(resident::measure().await),
            Self::FirstByte => Ok(first_byte::measure().await),
            Self::Growth => Ok(growth::measure(how.runs).await),
        }
    }
}
