//! What the instances hold: repositories with their tags and manifests, and blobs, each byte in memory once.
//!
//! Every instance is a store of its own, as on the real cloud: the same repository name in two instances are two
//! repositories. Nothing here knows HTTP, tokens or time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

/// Number in the service string of Personal Edition, as captured in cn-hangzhou.
const PERSONAL_SERVICE_NUMBER: u32 = 26_842;

/// A registry instance to be simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceSpec {
    /// `cri-...`, or `None` for Personal Edition in `region`.
    pub(crate) instance_id: Option<String>,
    /// Region id.
    pub(crate) region: String,
    /// Every domain the registry answers on.
    pub(crate) domains: Vec<String>,
}

/// One manifest as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// One instance and what it holds.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) spec: InstanceSpec,
    /// The `service` of its challenges.
    pub(crate) service: String,
    /// The bucket its blobs lie in.
    pub(crate) bucket: String,
    shelves: RwLock<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    repositories: HashMap<String, Repository>,
    blobs: HashMap<String, Bytes>,
}

#[derive(Debug, Default)]
struct Repository {
    tags: BTreeMap<String, String>,
    manifests: HashMap<String, Manifest>,
    blobs: HashSet<String>,
}

impl Instance {
    fn new(spec: InstanceSpec) -> Self {
        let region = &spec.region;
        let (service, bucket) = match &spec.instance_id {
            Some(id) => (format!("registry.aliyuncs.com:{region}:china:{id}"), format!("{id}-registry")),
            None => {
                let service = format!("registry.aliyuncs.com:{region}:{PERSONAL_SERVICE_NUMBER}");
                (service, format!("aliregistry-{region}"))
            }
        };
        Self { spec, service, bucket, shelves: RwLock::default() }
    }

    /// Whether the repository exists, that is, whether anything was pushed to it.
    pub(crate) fn has_repository(&self, name: &str) -> bool {
        self.read().repositories.contains_key(name)
    }

    /// A manifest by tag or digest, with its digest.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<(String, Manifest)> {
        let shelves = self.read();
        let repository = shelves.repositories.get(repository)?;
        let digest = repository.tags.get(reference).map_or(reference, String::as_str);
        Some((digest.to_owned(), repository.manifests.get(digest)?.clone()))
    }

    /// Every manifest of a repository.
    pub(crate) fn manifests(&self, repository: &str) -> Vec<(String, Manifest)> {
        let shelves = self.read();
        let manifests = shelves.repositories.get(repository).map(|repository| &repository.manifests);
        manifests.into_iter().flatten().map(|(digest, manifest)| (digest.clone(), manifest.clone())).collect()
    }

    /// The tags of a repository in lexical order.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let shelves = self.read();
        shelves.repositories.get(repository).map(|found| found.tags.keys().cloned().collect()).unwrap_or_default()
    }

    /// A blob that belongs to the repository.
    pub(crate) fn blob_of(&self, repository: &str, digest: &str) -> Option<Bytes> {
        let shelves = self.read();
        shelves.repositories.get(repository)?.blobs.get(digest)?;
        shelves.blobs.get(digest).cloned()
    }

    /// A blob by digest, whatever repository it belongs to: the bucket's view.
    pub(crate) fn blob(&self, digest: &str) -> Option<Bytes> {
        self.read().blobs.get(digest).cloned()
    }

    /// Puts a manifest in place, under a tag where one is given.
    pub(crate) fn put_manifest(&self, repository: &str, tag: Option<&str>, digest: &str, manifest: Manifest) {
        let mut shelves = self.write();
        let repository = shelves.repositories.entry(repository.to_owned()).or_default();
        repository.manifests.insert(digest.to_owned(), manifest);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest.to_owned());
        }
    }

    /// Puts a blob in place.
    pub(crate) fn put_blob(&self, repository: &str, digest: &str, bytes: Bytes) {
        let mut shelves = self.write();
        shelves.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest.to_owned());
        shelves.blobs.entry(digest.to_owned()).or_insert(bytes);
    }

    /// Takes a manifest away, by tag (the tag only) or by digest (with every tag on it).
    pub(crate) fn remove_manifest(&self, repository: &str, reference: &str) {
        let mut shelves = self.write();
        if let Some(repository) = shelves.repositories.get_mut(repository) {
            repository.tags.retain(|tag, digest| tag != reference && digest != reference);
            repository.manifests.remove(reference);
        }
    }

    /// Takes a blob's bytes away while manifests still name it.
    pub(crate) fn remove_blob(&self, digest: &str) {
        self.write().blobs.remove(digest);
    }

    fn read(&self) -> RwLockReadGuard<'_, Shelves> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelves> {
        self.shelves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All instances, found by the names requests carry.
#[derive(Debug, Default)]
pub(crate) struct Store {
    instances: RwLock<HashMap<Key, Arc<Instance>>>,
}

/// The names one instance is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Domain(String),
    Bucket(String),
    Service(String),
    Id(String),
}

impl Store {
    /// Adds an instance; one with the same names is replaced, and what it held is gone.
    pub(crate) fn add(&self, spec: InstanceSpec) -> Arc<Instance> {
        let instance = Arc::new(Instance::new(spec));
        let mut keys: Vec<Key> =
            instance.spec.domains.iter().map(|domain| Key::Domain(domain.to_ascii_lowercase())).collect();
        keys.push(Key::Bucket(instance.bucket.clone()));
        keys.push(Key::Service(instance.service.clone()));
        keys.extend(instance.spec.instance_id.clone().map(Key::Id));
        let mut instances = self.instances.write().unwrap_or_else(PoisonError::into_inner);
        instances.extend(keys.into_iter().map(|key| (key, Arc::clone(&instance))));
        instance
    }

    pub(crate) fn by_domain(&self, domain: &str) -> Option<Arc<Instance>> {
        self.find(&Key::Domain(domain.to_owned()))
    }

    pub(crate) fn by_bucket(&self, bucket: &str) -> Option<Arc<Instance>> {
        self.find(&Key::Bucket(bucket.to_owned()))
    }

    pub(crate) fn by_service(&self, service: &str) -> Option<Arc<Instance>> {
        self.find(&Key::Service(service.to_owned()))
    }

    /// An instance by its id or any of its domains: what tests name it by.
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Instance>> {
        self.find(&Key::Id(name.to_owned())).or_else(|| self.by_domain(name))
    }

    /// Every instance once, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Instance>> {
        let instances = self.instances.read().unwrap_or_else(PoisonError::into_inner);
        let services = instances.iter().filter(|(key, _)| matches!(key, Key::Service(_)));
        services.map(|(_, instance)| Arc::clone(instance)).collect()
    }

    fn find(&self, key: &Key) -> Option<Arc<Instance>> {
        self.instances.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}
