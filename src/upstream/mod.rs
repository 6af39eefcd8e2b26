//! One instance as seen from the proxy: an authorised request to its registry, the redirect to its bucket, the bytes.

use crate::oci::{InstanceId, RegistryHost};

/// What the upstream of one instance is built from.
#[derive(Debug, Clone)]
pub struct Params {
    /// The instance.
    pub instance: InstanceId,
    /// Hosts contacted whatever domain the image names, in order of preference (`pullFrom`); empty: the named domain.
    pub pull_from: Vec<RegistryHost>,
    /// `repositories`: patterns of what may be pulled (`*` within one path component, `**` across); empty: all.
    pub repositories: Vec<String>,
    /// `network.blobHosts`: further hosts that blobs may come from, exact or `*.suffix`, lower case.
    pub blob_hosts: Vec<String>,
    /// `blobs`.
    pub blobs: BlobParams,
}

/// `blobs` of the configuration.
#[derive(Debug, Clone)]
pub struct BlobParams {
    /// Who follows the redirect.
    pub mode: BlobMode,
    /// Most connections for one blob.
    pub connections: usize,
    /// Size of one part in bytes.
    pub part_size: u64,
    /// All read-ahead of the daemon together, in bytes.
    pub memory: u64,
}

/// Who follows the redirect to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BlobMode {
    /// The daemon, which streams the bytes.
    #[default]
    Stream,
    /// The client: the 307 is handed on.
    Redirect,
}
