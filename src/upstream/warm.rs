//! Connections that are opened before there is a request for them.
//!
//! At start, one to each registry host and one to the bucket that the instance is likely to have, so that the first pull
//! finds the names resolved and the round trips of TLS paid; as they close, again to those that are in use and to the
//! realm, while pulls are recent. When a pull has to wait for a bearer, one to the registry meanwhile. When a client was
//! given a manifest, as many to the bucket as its layers will take. Nothing is kept open for its own sake: a node that
//! pulls nothing holds no connection.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Version;
use tokio::time::Instant;

use super::next::AT_ONCE;
use super::{Place, Upstream};
use crate::http::origin::{Origin, SafeUri};
use crate::oci::RegistryHost;

/// Layers that containerd asks for at once by default (`max_concurrent_downloads`).
pub(super) const LAYERS_AT_ONCE: usize = 3;
/// Registry hosts of one instance that are connected to at start: a public and a VPC domain.
const MOST_HOSTS: usize = 2;

/// How long pulls count as recent: nodes pull in bursts, the containers of one rollout within minutes.
const RECENT: Duration = Duration::from_mins(15);
/// How often connections are opened again meanwhile: as often as idle ones are closed (`http::ready`, `http::client`).
pub const RENEWAL: Duration = Duration::from_secs(45);

impl Upstream {
    /// Closes connections to blob hosts that nobody uses, and opens others anew where pulls were recent; for every
    /// [`RENEWAL`], needs a runtime.
    pub fn stay_warm(&self) {
        self.parts.blob_client.close_idle();
        let last = self.last_asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((host, at)) = last
            && at.elapsed() < RECENT
        {
            self.connect(&host);
            self.parts.tokens.expect(&host);
            let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(bucket) = bucket {
                self.parts.blob_client.warm(&bucket, 1);
            }
        }
    }

    /// Opens a connection to a registry that has not been asked for so long that none is open.
    pub(super) fn warm_if_cold(&self, host: &RegistryHost) {
        let last = self.last_asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if last.is_none_or(|(last, at)| last != *host || at.elapsed() > RENEWAL) {
            self.connect(host);
        }
    }

    fn connect(&self, host: &RegistryHost) {
        if let Ok(origin) = Origin::https(host.as_str()) {
            self.parts.client.warm(&origin, 1);
        }
    }

    /// Opens connections for an instance that is served under `domains`; needs a runtime.
    pub fn warm_up(&self, domains: &[RegistryHost]) {
        let hosts = if self.hosts.named().is_empty() { domains } else { self.hosts.named() };
        for host in hosts.iter().take(MOST_HOSTS) {
            self.connect(host);
            if let Some(bucket) = likely_bucket(self.instance.as_str(), host.host())
                && self.blob_hosts.allow(&bucket)
            {
                self.parts.blob_client.warm(&bucket, 1);
                self.bucket.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(bucket);
            }
        }
    }

    /// Opens connections for an image whose manifest a client is about to be given.
    pub(super) fn warm_for_layers(&self, place: &Place) {
        let far = self.to_registry.is_far().unwrap_or(false);
        let guess = if self.bucket_is_far() { self.blobs.connections } else { 1 };
        let width = self.learnt().map_or(guess, |learnt| learnt.width());
        let bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bucket) = bucket {
            self.parts.blob_client.warm(&bucket, LAYERS_AT_ONCE * width);
        }
        // Over HTTP/2 the one connection that there is serves all; what is near costs more than it brings.
        if far
            && !self.multiplexed.load(Ordering::Relaxed)
            && let Some(host) = self.hosts.order(&place.host).first()
            && let Ok(origin) = Origin::https(host.as_str())
        {
            self.parts.client.warm(&origin, AT_ONCE - 1);
        }
    }

    /// Remembers which registry was asked last, how far away it is, and how it is spoken to.
    pub(super) fn note_registry(&self, host: &RegistryHost, took: Duration, version: Version) {
        let mut last = self.last_asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((known, at)) if known == host => *at = Instant::now(),
            last => *last = Some((host.clone(), Instant::now())),
        }
        drop(last);
        self.to_registry.note(host.as_str(), took);
        self.multiplexed.store(version == Version::HTTP_2, Ordering::Relaxed);
    }

    /// Whether the bucket is far away; before it has answered, it is taken to be where the registry is.
    pub(super) fn bucket_is_far(&self) -> bool {
        self.to_bucket.is_far().or_else(|| self.to_registry.is_far()).unwrap_or(false)
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
#[must_use]
pub fn likely_bucket(instance: &str, host: &str) -> Option<Origin> {
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
