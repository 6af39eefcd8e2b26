//! The parts of the benchmark, each of which runs alone too.

use crate::table::Row;
use crate::whole;

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
}

impl Part {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::WideArea, Self::Limited, Self::Local];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WideArea => "wide-area",
            Self::Limited => "limited",
            Self::Local => "local",
        }
    }

    /// What it measures.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::WideArea => "whole pull by containerd, 50 ms round trip",
            Self::Limited => "whole pull by containerd, 10 ms round trip, 15 MB/s per connection",
            Self::Local => "whole pull by containerd, no latency, no limit",
        }
    }

    /// The part of that name.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|part| part.name() == name)
            .ok_or_else(|| format!("there is no part {name}; there are {}, --runs N and --json FILE", known()))
    }

    /// Takes its figures, each `runs` times.
    pub(crate) async fn measure(self, runs: usize) -> Result<Vec<Row>, LeftOut> {
        match self {
            Self::WideArea => whole::measure(&whole::WIDE_AREA, runs).await,
            Self::Limited => whole::measure(&whole::LIMITED, runs).await,
            Self::Local => whole::measure(&whole::LOCAL, runs).await,
        }
    }
}
