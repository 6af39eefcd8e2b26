//! Connections that are opened before there is a request for them.
//!
//! At start, one to each registry host and one to the bucket that the instance is likely to have, so that the first pull
//! finds the names resolved and the round trips of TLS paid. When a client was given a manifest, as many to the bucket as
//! its layers will take. Nothing is kept open for its own sake: a node that pulls nothing holds no connection.

use std::sync::PoisonError;

use super::Upstream;
use super::document::Descriptor;
use crate::http::origin::{Origin, SafeUri};
use crate::oci::RegistryHost;

/// Layers that containerd asks for at once by default (`max_concurrent_downloads`).
const LAYERS_AT_ONCE: usize = 3;
/// Blobs below this are not worth a second connection.
const LARGE: u64 = super::plan::FIRST;

impl Upstream {
    /// Opens connections for an instance that is served under `domains`; needs a runtime.
    pub fn warm_up(&self, domains: &[RegistryHost]) {
        let hosts = if self.pull_from.is_empty() { domains } else { &self.pull_from };
        for host in hosts.iter().take(1) {
            if let Ok(origin) = Origin::https(host.as_str()) {
                self.parts.client.warm(&origin, 1);
            }
            if let Some(bucket) = likely_bucket(self.instance.as_str(), host.host())
                && self.blob_hosts.allow(&bucket)
            {
                self.parts.blob_client.warm(&bucket, 1);
            }
        }
    }

    /// Opens connections for blobs that are about to be asked for.
    pub(super) fn warm_bucket(&self, blobs: &[Descriptor]) {
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(bucket) = bucket else { return };
        let width = self.learnt().map_or(self.blobs.connections, |learnt| learnt.width());
        let of = |blob: &Descriptor| if blob.size > LARGE { width } else { 1 };
        self.parts.blob_client.warm(&bucket, blobs.iter().map(of).take(LAYERS_AT_ONCE).sum());
    }

    /// Remembers where blobs come from.
    pub(super) fn note_bucket(&self, uri: &SafeUri) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.as_ref() != Some(uri.origin()) {
            *bucket = Some(uri.origin().clone());
        }
    }
}

/// The bucket that an instance of the Enterprise Edition has unless somebody gave it another: `<id>-registry`, at the
/// internal endpoint for VPC domains (cloud fact sheet, section 7.1). Only ever connected to, never asked.
fn likely_bucket(instance: &str, host: &str) -> Option<Origin> {
    let (name, region) = host.strip_suffix(".cr.aliyuncs.com")?.split_once('.')?;
    let endpoint = if name.ends_with("-registry-vpc") { "-internal" } else { "" };
    instance.strip_prefix("cri-")?;
    Origin::https(&format!("{instance}-registry.oss-{region}{endpoint}.aliyuncs.com")).ok()
}

#[cfg(test)]
mod tests {
    use super::likely_bucket;

    #[test]
    fn the_bucket_follows_from_the_instance_and_its_domain() {
        let bucket = |instance, host| likely_bucket(instance, host).map(|origin| origin.host().to_owned());
        assert_eq!(
            bucket("cri-abcd1234efgh5678", "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com").unwrap(),
            "cri-abcd1234efgh5678-registry.oss-cn-hangzhou-internal.aliyuncs.com"
        );
        assert_eq!(
            bucket("cri-abcd1234efgh5678", "demo-registry.cn-hangzhou.cr.aliyuncs.com").unwrap(),
            "cri-abcd1234efgh5678-registry.oss-cn-hangzhou.aliyuncs.com"
        );
        assert_eq!(bucket("personal-cn-hangzhou", "registry.cn-hangzhou.aliyuncs.com"), None);
        assert_eq!(bucket("cri-abcd1234efgh5678", "registry.example.com"), None);
    }
}
