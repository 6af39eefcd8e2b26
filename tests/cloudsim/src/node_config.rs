//! Configurations that make a daemon on this machine use this simulator.
//!
//! The text follows the published configuration formats (the daemon's YAML and the incumbent's `acr-configuration`
//! ConfigMap); it is written here by hand, so that a change of the daemon's parser cannot go unnoticed.

use std::fmt::Write as _;

use crate::cloud::CloudSim;
use crate::ram::setup;

/// Where a free port is taken.
const ANY_PORT: &str = "127.0.0.1:0";

/// How the daemon gets its first credential and walks to account B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A service-account token, account A's role, then B's role.
    Rrsa,
    /// The node's worker role from the metadata service, then B's role.
    WorkerRole,
    /// The AccessKey of a RAM user of B, with no role at all.
    AccessKey,
    /// As [`Method::Rrsa`], over one more role in between.
    MultiHop,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rrsa, Self::WorkerRole, Self::AccessKey, Self::MultiHop];

    /// The name used for files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rrsa => "rrsa",
            Self::WorkerRole => "worker-role",
            Self::AccessKey => "access-key",
            Self::MultiHop => "multi-hop",
        }
    }

    fn uses_rrsa(self) -> bool {
        matches!(self, Self::Rrsa | Self::MultiHop)
    }
}

impl CloudSim {
    /// The daemon's configuration in YAML, with free ports for pulls and for operators.
    #[must_use]
    pub fn node_config(&self, method: Method) -> String {
        self.node_config_at(method, ANY_PORT, ANY_PORT)
    }

    /// The same with these addresses.
    #[must_use]
    pub fn node_config_at(&self, method: Method, listen: &str, admin: &str) -> String {
        let mut text = format!("listen: {listen}\nadmin: {admin}\n");
        if method.uses_rrsa() {
            text.push_str("rrsa:\n  enable: true\n");
            line(&mut text, "  tokenFile", &self.oidc_token_file().display().to_string());
        }
        text.push_str("instances:\n");
        text.push_str(&indented(&self.instance_entries(method), "  "));
        text.push_str("endpoints:\n");
        line(&mut text, "  sts", &format!("sts-vpc.{}.aliyuncs.com", setup::REGION));
        line(&mut text, "  cr", &format!("cr-vpc.{}.aliyuncs.com", setup::REGION));
        line(&mut text, "  metadata", &self.imds_url());
        text.push_str("network:\n  hosts:\n");
        for (name, address) in self.hosts() {
            line(&mut text, &format!("    \"{name}\""), &address.to_string());
        }
        line(&mut text, "  caFile", &self.ca_file().display().to_string());
        text
    }

    /// The incumbent's ConfigMap for the same instances. It has no place for endpoints, host addresses or a CA, so it is for
    /// reading and converting, not for running against this simulator by itself.
    #[must_use]
    pub fn acr_configuration(&self, method: Method) -> String {
        let mut text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\ndata:\n  \
                        acr-api-version: \"2018-12-01\"\n  expiring-threshold: 15m\n  notify-email: \"\"\n  \
                        service-account: \"*\"\n  watch-namespace: default\n"
            .to_owned();
        if method.uses_rrsa() {
            text.push_str("  rrsa: |\n    enable: true\n");
        }
        text.push_str("  acr-registry-info: |\n");
        text.push_str(&indented(&self.instance_entries(method), "    "));
        text
    }

    /// The entries of `instances`, which are those of the incumbent's `acr-registry-info`.
    fn instance_entries(&self, method: Method) -> String {
        let mut text = String::new();
        for instance in self.directory().instances() {
            line(&mut text, "- instanceId", &instance.id);
            line(&mut text, "  regionId", &instance.region);
            line(&mut text, "  domains", &instance.domains().join(","));
            if method.uses_rrsa() {
                line(&mut text, "  rrsaRoleARN", setup::CLUSTER_ROLE);
                line(&mut text, "  rrsaOIDCProviderRoleARN", setup::OIDC_PROVIDER);
            }
            match method {
                Method::Rrsa | Method::WorkerRole => line(&mut text, "  assumeRoleARN", setup::PULL_ROLE),
                Method::MultiHop => {
                    line(&mut text, "  assumeRoleARN", &format!("[\"{}\", \"{}\"]", setup::HOP_ROLE, setup::PULL_ROLE));
                }
                Method::AccessKey => {
                    if let Some(key) = self.directory().access_key(setup::USER_B) {
                        line(&mut text, "  customAccessKey", &key.id);
                        line(&mut text, "  customAccessKeySecret", &key.secret);
                    }
                }
            }
            if method != Method::AccessKey {
                line(&mut text, "  expireDuration", "3600");
            }
        }
        text
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    writeln!(text, "{name}: {value}").ok();
}

fn indented(text: &str, indent: &str) -> String {
    text.lines().map(|line| format!("{indent}{line}\n")).collect()
}
