//! From a request to the instance it belongs to.
//!
//! containerd names the registry in `ns`; clients that were led here by a name of their own name it in `Host`; clients
//! that only know path prefixes put it in front of the repository. What none of them finds is not ours, and answered so
//! that the client goes on elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use crate::oci::{Endpoint, Name, Namespace, RegistryHost, RegistryRequest, Resource};
use crate::upstream::{Place, Upstream};

/// Which domain belongs to which instance. Immutable: a reload builds another one.
#[derive(Debug, Default)]
pub struct Table {
    upstreams: HashMap<RegistryHost, Arc<Upstream>>,
}

impl Table {
    /// Builds the table from the domains of each instance. The configuration sees to it that no two instances claim one
    /// domain; here the first would keep it.
    #[must_use]
    pub fn build(entries: impl IntoIterator<Item = (Vec<RegistryHost>, Arc<Upstream>)>) -> Self {
        let mut upstreams = HashMap::new();
        for (domains, upstream) in entries {
            for domain in domains {
                upstreams.entry(domain).or_insert_with(|| Arc::clone(&upstream));
            }
        }
        Self { upstreams }
    }

    fn find(&self, host: &RegistryHost) -> Option<(&RegistryHost, &Arc<Upstream>)> {
        self.upstreams.get_key_value(host)
    }

    /// Where a request belongs. `host` is what the client sent as `Host` or `:authority`.
    pub(super) fn route(&self, request: RegistryRequest, host: Option<&str>) -> Result<Route, NotServed> {
        let named = match &request.namespace {
            Some(Namespace::Foreign) => return Err(NotServed),
            Some(Namespace::Host(namespace)) => Some((self.find(namespace).ok_or(NotServed)?, Face::Namespace)),
            None => host.and_then(|host| self.find_host(host)).map(|found| (found, Face::Host)),
        };
        match (request.endpoint, named) {
            (Endpoint::Ping, named) => Ok(Route::Ping { namespace: named.map(|((host, _), _)| host.clone()) }),
            (Endpoint::Repository { name, resource }, Some(((host, upstream), face))) => {
                let repository = match name.prefixed {
                    // BuildKit names the registry in `ns`, and puts the path of its mirror in front all the same.
                    Some((prefix, repository)) if prefix == *host => repository,
                    _ => name.whole.ok_or(NotServed)?,
                };
                let place = Place { host: host.clone(), repository };
                Ok(Route::Pull { upstream: Arc::clone(upstream), place, resource, face })
            }
            (Endpoint::Repository { name, resource }, None) => self.by_prefix(name, resource),
        }
    }

    fn by_prefix(&self, name: Name, resource: Resource) -> Result<Route, NotServed> {
        let (host, repository) = name.prefixed.ok_or(NotServed)?;
        let (host, upstream) = self.find(&host).ok_or(NotServed)?;
        let place = Place { host: host.clone(), repository };
        Ok(Route::Pull { upstream: Arc::clone(upstream), place, resource, face: Face::Prefix })
    }

    /// By `Host`, whose port is the listener's where a name was pointed at this node.
    fn find_host(&self, host: &str) -> Option<(&RegistryHost, &Arc<Upstream>)> {
        let host = RegistryHost::parse(host).ok()?;
        self.find(&host).or_else(|| self.find(&RegistryHost::parse(host.host()).ok()?))
    }
}

/// Where a request belongs.
#[derive(Debug)]
pub(super) enum Route {
    /// To nobody in particular.
    Ping {
        /// The registry it was asked for, if one was named.
        namespace: Option<RegistryHost>,
    },
    /// To an instance.
    Pull { upstream: Arc<Upstream>, place: Place, resource: Resource, face: Face },
}

/// By what the client named the registry, and so how links back to here are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// By `ns`.
    Namespace,
    /// By `Host`.
    Host,
    /// By the first path component.
    Prefix,
}

impl Face {
    /// Whether clients that come so take the blobs from where they got the manifest: podman, skopeo, buildah and CRI-O do,
    /// and a Docker Engine that was told this address. containerd asks elsewhere for each thing that it does not get.
    pub(super) const fn sticks(self) -> bool {
        matches!(self, Self::Prefix)
    }
}

/// No served domain is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this registry is not served here")]
pub(super) struct NotServed;
