//! The picture that `/status` gives as JSON and `/` as a page. Plain data; no field can hold a secret.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::clock::Timestamp;

/// A time, written in RFC 3339 in UTC and to the second, which is how exact the cloud's own are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}", self.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How the daemon is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
    /// The time of this picture, by the cloud's clock, as all times here.
    pub now: Moment,
    /// When it started.
    pub started: Moment,
    /// Where pulls come in.
    pub listen: String,
    /// Whether pulls may come: it listens, is not about to end, and every instance has a login that can be used.
    pub ready: bool,
    /// How far this node's clock is ahead of the cloud's; negative: behind.
    pub clock_skew_seconds: f64,
    /// The configuration in use.
    pub config: ConfigStatus,
    /// Every configured instance.
    pub instances: Vec<InstanceStatus>,
    /// The pull requests of the last minutes, the newest first.
    pub recent_pulls: Vec<PullStatus>,
    /// How containerd on this node is set up; `None`: not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containerd: Option<ContainerdStatus>,
}

/// The configuration in use.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// Where it was read; `None` where it was handed over in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When the one in use was read.
    pub read: Moment,
    /// What is wrong with the one that was read after it and refused; empty: nothing.
    pub refused: Vec<String>,
}

/// One instance.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// Its id.
    pub id: String,
    /// The domains it is served under; empty: not known yet.
    pub domains: Vec<String>,
    /// Whether it has a login that can be used.
    pub ready: bool,
    /// Who pulls: the last role of the chain, or what stands in its place.
    pub role: String,
    /// The steps of its role chain and its login, in order.
    pub hops: Vec<HopStatus>,
    /// What went wrong last; `None` once it has gone right since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ErrorStatus>,
    /// When a pull was last answered in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pull: Option<Moment>,
}

/// One step of a role chain.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HopStatus {
    /// Which, as in the metrics' label `hop`.
    pub hop: String,
    /// The role, user or service it stands for.
    pub name: String,
    /// When what is held was issued; `None`: nothing is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued: Option<Moment>,
    /// When it expires; `None`: nothing is held, or it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Moment>,
    /// Whether the last attempt to renew it failed.
    pub failing: bool,
    /// Worth knowing although it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A failure, as people need it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorStatus {
    /// The step of the role chain, as in the metrics' label `hop`.
    pub hop: String,
    /// What happened, causes included.
    pub text: String,
    /// Who has to act.
    pub who: &'static str,
    /// The likely cause.
    pub cause: &'static str,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The cloud's id of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When.
    pub at: Moment,
}

/// One pull request that has ended.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PullStatus {
    /// When it ended.
    pub at: Moment,
    /// The instance it was for.
    pub instance: String,
    /// `manifest` or `blob`.
    pub kind: &'static str,
    /// `GET`, or `HEAD` where no content was asked for.
    pub method: &'static str,
    /// The repository.
    pub repository: String,
    /// The tag or digest, as it was asked for.
    pub reference: String,
    /// The digest of the content; `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The status of the answer.
    pub status: u16,
    /// Bytes of content that were delivered.
    pub bytes: u64,
    /// How long it took, from the request to the last byte.
    pub seconds: f64,
    /// How often the upstream's stream broke and was continued.
    pub resumes: u32,
    /// Whether the bytes were here before they were asked for: kept from another pull, or fetched ahead of this one.
    pub from_memory: bool,
    /// `complete`, `redirected`, `cut`, `left` or `refused`.
    pub outcome: &'static str,
    /// The id under which the log knows it.
    pub request_id: String,
}

/// How containerd on this node is set up.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerdStatus {
    /// The directory with `hosts.toml` files; `None`: not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certs_dir: Option<String>,
    /// Every served domain.
    pub domains: Vec<DomainStatus>,
    /// What stands in the way.
    pub findings: Vec<FindingStatus>,
    /// Why its set-up cannot be seen from here, where it cannot: then nothing above is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<FindingStatus>,
}

/// Whether containerd is sent to the daemon for one domain.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainStatus {
    /// The domain.
    pub domain: String,
    /// What its `hosts.toml` is, in a few words.
    pub state: String,
    /// Whether pulls of this domain come here, as far as can be seen.
    pub good: bool,
    /// What to do about it, or to look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Something that stands in the way of pulls, or should be looked at.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// What is.
    pub text: String,
    /// What to do.
    pub fix: String,
    /// Whether pulls may come all the same.
    pub mild: bool,
}
