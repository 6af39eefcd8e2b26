//! The instances of a running simulator and what they hold: adding, pushing and deleting, without HTTP.

use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;

use super::CloudSim;
use crate::hash::{sha256, sha512};
use crate::image::Image;
use crate::ram::{Caller, Identity, Instance, LoginScope};
use crate::store::{self, InstanceSpec, Manifest};

/// How long a login given to a client beside the daemon lives: as long as one of a long-term key.
const LOGIN_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// There is no instance of that name.
#[derive(Debug, thiserror::Error)]
#[error("cloudsim has no instance {name}: name one by its id or by one of its domains")]
pub struct UnknownInstance {
    name: String,
}

impl CloudSim {
    /// Adds an Enterprise Edition instance, to the accounts and to the registry.
    pub fn add_instance(&self, instance: Instance) {
        self.store().add(spec_of(&instance));
        self.world.directory.add_instance(instance);
    }

    /// Adds the Personal Edition of an account in a region.
    pub fn add_personal_edition(&self, account: &str, region: &str) {
        self.world.directory.add_personal_edition(account, region);
        self.stock_personal_edition(region);
    }

    /// Pushes an image under a tag. `instance` is an id or a domain.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push(&self, instance: &str, repository: &str, tag: &str, image: &Image) -> Result<(), UnknownInstance> {
        let store = self.instance(instance)?;
        for (digest, bytes) in &image.blobs {
            store.put_blob(repository, digest, bytes.clone());
        }
        for (digest, manifest) in &image.manifests {
            let tag = (*digest == image.digest).then_some(tag);
            store.put_manifest(repository, tag, digest, manifest.clone());
        }
        Ok(())
    }

    /// Pushes any bytes as a manifest, for what no [`Image`] holds; gives its digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push_manifest(
        &self,
        instance: &str,
        repository: &str,
        tag: Option<&str>,
        manifest: Manifest,
    ) -> Result<String, UnknownInstance> {
        let digest = sha256(&manifest.bytes);
        self.instance(instance)?.put_manifest(repository, tag, &digest, manifest);
        Ok(digest)
    }

    /// Pushes any bytes as a blob; gives its digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push_blob(&self, instance: &str, repository: &str, bytes: Bytes) -> Result<String, UnknownInstance> {
        let digest = sha256(&bytes);
        self.instance(instance)?.put_blob(repository, &digest, bytes);
        Ok(digest)
    }

    /// Pushes bytes as a blob that is named by its SHA-512; gives that digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push_blob_by_sha512(
        &self,
        instance: &str,
        repository: &str,
        bytes: Bytes,
    ) -> Result<String, UnknownInstance> {
        let digest = sha512(&bytes);
        self.instance(instance)?.put_blob(repository, &digest, bytes);
        Ok(digest)
    }

    /// Pushes bytes as a manifest that is named by its SHA-512, under a tag; gives that digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn push_manifest_by_sha512(
        &self,
        instance: &str,
        repository: &str,
        tag: &str,
        manifest: Manifest,
    ) -> Result<String, UnknownInstance> {
        let digest = sha512(&manifest.bytes);
        self.instance(instance)?.put_manifest(repository, Some(tag), &digest, manifest);
        Ok(digest)
    }

    /// A bearer that may pull from a repository, for a client that goes to the registry directly, beside the daemon.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn bearer(&self, instance: &str, repository: &str) -> Result<String, UnknownInstance> {
        let instance = self.instance(instance)?;
        Ok(self.world.realm.grant(self.world.clock.now(), &instance, repository))
    }

    /// A login of the instance's owner, user and password, as `GetAuthorizationToken` gives it: a pull secret for a client
    /// that goes to the registry directly, beside the daemon.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn login(&self, instance: &str) -> Result<(String, String), UnknownInstance> {
        let spec = self.instance(instance)?.spec.clone();
        let now = self.world.clock.now();
        let owner =
            self.world.directory.instances().into_iter().find(|owned| Some(&owned.id) == spec.instance_id.as_ref());
        let caller = Caller {
            account: owner.map(|owned| owned.account).unwrap_or_default(),
            identity: Identity::Root,
            access_key_id: String::new(),
            expires: Some(now + LOGIN_LIFETIME),
        };
        let scope = LoginScope { instance_id: spec.instance_id, region: spec.region, lifetime: None };
        let login = self.world.directory.issue_login(&caller, scope, now);
        Ok((login.user.to_owned(), login.password))
    }

    /// Deletes a tag, or a manifest by digest.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn delete_manifest(&self, instance: &str, repository: &str, reference: &str) -> Result<(), UnknownInstance> {
        self.instance(instance)?.remove_manifest(repository, reference);
        Ok(())
    }

    /// Deletes a blob from the bucket, so that a manifest names what is not there.
    ///
    /// # Errors
    /// When there is no such instance.
    pub fn delete_blob(&self, instance: &str, digest: &str) -> Result<(), UnknownInstance> {
        self.instance(instance)?.remove_blob(digest);
        Ok(())
    }

    fn instance(&self, name: &str) -> Result<Arc<store::Instance>, UnknownInstance> {
        self.store().by_name(name).ok_or_else(|| UnknownInstance { name: name.to_owned() })
    }

    /// Gives every instance of the directory a store, and the node's region a Personal Edition.
    pub(super) fn stock_instances(&self) {
        for instance in self.world.directory.instances() {
            self.store().add(spec_of(&instance));
        }
        if let Some(node) = self.world.directory.node() {
            self.stock_personal_edition(&node.region);
        }
    }

    fn stock_personal_edition(&self, region: &str) {
        let domains = ["registry", "registry-vpc", "registry-internal"];
        self.store().add(InstanceSpec {
            instance_id: None,
            region: region.to_owned(),
            domains: domains.map(|name| format!("{name}.{region}.aliyuncs.com")).to_vec(),
        });
    }
}

fn spec_of(instance: &Instance) -> InstanceSpec {
    InstanceSpec {
        instance_id: Some(instance.id.clone()),
        region: instance.region.clone(),
        domains: instance.domains(),
    }
}
