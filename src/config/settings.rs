//! What all instances have in common, while it is being read; and the checks that need the whole picture.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::load::Overlay;
use super::problem::{Findings, Place};
use super::{ADMIN, BLOBS, Config, EXPIRING_THRESHOLD, Instance, LISTEN, Network, Rrsa, Tls, value};
use crate::cloud::endpoints::{self, Region};
use crate::telemetry::logs;
use crate::upstream;

/// Everything but the instances.
pub(super) struct Settings {
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) log: logs::Params,
    pub(super) client_token_file: Option<PathBuf>,
    pub(super) tls: Option<Tls>,
    pub(super) endpoints: endpoints::Params,
    pub(super) network: Network,
    pub(super) blobs: upstream::BlobParams,
    pub(super) expiring_threshold: Duration,
    pub(super) rrsa: Rrsa,
}

impl Settings {
    /// The defaults, with what the environment says about this node.
    pub(super) fn new(environment: &Environment, findings: &Findings) -> Self {
        let mut rrsa = Rrsa::default();
        if let Some(path) = environment.value("ALIBABA_CLOUD_OIDC_TOKEN_FILE") {
            rrsa.token_file = path.into();
        }
        let variable = Variables { environment, findings };
        let endpoints = endpoints::Params {
            sts: variable.parsed("ALIBABA_CLOUD_STS_ENDPOINT", value::api_host),
            cr: None,
            metadata: variable.parsed("ALIBABA_CLOUD_IMDS_ENDPOINT", value::base_url),
            node_region: variable
                .parsed("ALIBABA_CLOUD_STS_REGION", Region::parse)
                .or_else(|| variable.parsed("ALIBABA_CLOUD_REGION_ID", Region::parse)),
        };
        Self {
            listen: LISTEN,
            admin: ADMIN,
            log: logs::Params::default(),
            client_token_file: None,
            tls: None,
            endpoints,
            network: Network::default(),
            blobs: BLOBS,
            expiring_threshold: EXPIRING_THRESHOLD,
            rrsa,
        }
    }

    /// Lays the flags over the file.
    pub(super) fn overlay(&mut self, overlay: &Overlay) {
        self.listen = overlay.listen.unwrap_or(self.listen);
        self.admin = overlay.admin.unwrap_or(self.admin);
        self.log.level = overlay.log_level.unwrap_or(self.log.level);
        self.log.format = overlay.log_format.or(self.log.format);
    }

    /// Checks what concerns several keys, and completes the configuration. With problems among the findings the result
    /// is not to be used.
    pub(super) fn complete(self, instances: Vec<(Place, Instance)>, findings: &Findings) -> Config {
        self.check_addresses(findings);
        check_instances(&instances, findings);
        Config {
            listen: self.listen,
            admin: self.admin,
            log: self.log,
            client_token_file: self.client_token_file,
            tls: self.tls,
            endpoints: self.endpoints,
            network: self.network,
            blobs: self.blobs,
            expiring_threshold: self.expiring_threshold,
            rrsa: self.rrsa,
            instances: instances.into_iter().map(|(_, instance)| instance).collect(),
        }
    }

    fn check_addresses(&self, findings: &Findings) {
        let listen = Place::named("listen");
        if covers(self.listen, self.admin) || covers(self.admin, self.listen) {
            let text = match self.listen == self.admin {
                true => format!("listen and admin are both {}", self.listen),
                false => format!("listen ({}) and admin ({}) meet at one port", self.listen, self.admin),
            };
            findings.problem(&listen, text, "give one of the two another port");
        }
        if !self.listen.ip().is_loopback() && self.client_token_file.is_none() {
            let text = format!("{} can be reached from outside this node, and clientAuth is not set", self.listen.ip());
            let hint = "listen on 127.0.0.1, or set clientAuth.tokenFile: whoever reaches the address pulls with your \
                        rights";
            findings.problem(&listen, text, hint);
        }
    }
}

/// Whether who listens at `wide` has `address` as well: the unspecified address is all addresses, that of IPv6 with those
/// of IPv4. A port that the system chooses is another one each time.
fn covers(wide: SocketAddr, address: SocketAddr) -> bool {
    let all = wide.ip().is_unspecified() && (wide.is_ipv6() || address.is_ipv4());
    wide.port() != 0 && wide.port() == address.port() && (all || wide.ip() == address.ip())
}

/// Reads single variables as a file's keys are read.
struct Variables<'a> {
    environment: &'a Environment,
    findings: &'a Findings,
}

impl Variables<'_> {
    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let text = self.environment.value(name)?;
        let report = |rule| self.findings.problem(&Place::named(name), format!("'{text}' is not accepted: {rule}"), "");
        parse(text).map_err(report).ok()
    }
}

fn check_instances(instances: &[(Place, Instance)], findings: &Findings) {
    let mut ids = HashMap::new();
    let mut domains = HashMap::new();
    for (place, instance) in instances {
        let at = |key: &str| Place { path: format!("{}.{key}", place.path), line: place.line };
        if let Some(first) = ids.insert(&instance.id, &place.path) {
            let text = format!("{} is configured at {first} already", instance.id);
            findings.problem(&at("instanceId"), text, "put all domains of an instance into one entry");
        }
        for domain in instance.domains.named() {
            if let Some(first) = domains.insert(domain, &place.path) {
                let text = format!("{domain} belongs to {first} already");
                findings.problem(&at("domains"), text, "a domain can lead to one instance only");
            }
        }
    }
    for (place, instance) in instances {
        for host in &instance.upstream.pull_from {
            if let Some(other) = domains.get(host).filter(|other| ***other != place.path) {
                let place = Place { path: format!("{}.pullFrom", place.path), line: place.line };
                let text = format!("{host} belongs to {other}, which must not be given the login of this instance");
                findings.problem(&place, text, "name hosts of this instance only");
            }
        }
    }
}
