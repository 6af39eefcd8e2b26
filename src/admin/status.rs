//! The picture that `/status` gives as JSON and `/` as a page. Plain data; no field can hold a secret.

use serde::Serialize;

/// How the daemon is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
    /// When it started, RFC 3339 in UTC, as all times here.
    pub started: String,
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
}

/// The configuration in use.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// Where it was read; `None` where it was handed over in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When the one in use was read.
    pub read: String,
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
    /// The steps of its role chain and its login, in order.
    pub hops: Vec<HopStatus>,
    /// What went wrong last; `None` once it has gone right since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<ErrorStatus>,
    /// When a pull was last answered in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pull: Option<String>,
}

/// One step of a role chain.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HopStatus {
    /// Which, as in the metrics' label `hop`.
    pub hop: String,
    /// The role, user or service it stands for.
    pub name: String,
    /// When what is held was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
    /// When it expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
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
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The cloud's id of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When.
    pub at: String,
}
