//! One instance, walked with the objects of `serve`: first credential, hops, login, domains, challenge.

use std::sync::Arc;

use super::finding::Finding;
use super::network::Role;
use super::report::Report;
use super::{Tools, network, token_file};
use crate::clock::{Clock, SharedClock};
use crate::config::{Domains, Instance, personal_domains};
use crate::credentials::HopStatus;
use crate::credentials::plan::{Base, PlanError};
use crate::error::diagnosis::{Row, Sign};
use crate::oci::RegistryHost;
use crate::telemetry::metrics::{Hop, InstanceMetrics};
use crate::token::{Edition, TokenSource};
use crate::upstream::{Memory, Parts, Upstream, likely_bucket};

/// An instance under examination.
pub(super) struct Walk<'a> {
    pub(super) tools: &'a Tools<'a>,
    pub(super) instance: &'a Instance,
    pub(super) source: Arc<TokenSource>,
    metrics: Arc<InstanceMetrics>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(tools: &'a Tools<'a>, instance: &'a Instance) -> Result<Self, PlanError> {
        let metrics = tools.metrics.instance(&instance.id);
        let source = TokenSource::new(
            instance.token.clone(),
            tools.config.endpoints.clone(),
            tools.client.clone(),
            Arc::clone(&tools.clock),
            Arc::clone(&metrics),
        )?;
        Ok(Self { tools, instance, source, metrics })
    }

    /// The upstream of the instance, as `serve` has it.
    pub(super) fn upstream(&self) -> Arc<Upstream> {
        let parts = Parts {
            tokens: Arc::clone(&self.source) as Arc<dyn crate::token::ProvideBearer>,
            client: self.tools.client.clone(),
            blob_client: self.tools.client.http1_only(),
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.tools.clock) as SharedClock,
            memory: Memory::new(self.tools.config.blobs.memory),
        };
        Upstream::new(self.instance.upstream.clone(), parts)
    }

    /// What can be said of the first credential before anybody is asked.
    pub(super) async fn first_credential(&self, report: &mut Report) {
        for base in &self.instance.token.chain.bases {
            if let Base::Rrsa { role, provider, token_file } = base {
                let expected = token_file::Expected { role, provider, account: self.tools.account };
                token_file::examine(token_file, &expected, self.tools.clock.now(), report);
            }
        }
        let endpoints = &self.tools.config.endpoints;
        for (role, host) in [(Role::Sts, &endpoints.sts), (Role::Api, &endpoints.cr)] {
            if let Some(host) = host {
                let mut found = Vec::new();
                network::way(self.tools, role, host, &mut found).await;
                report.add_all(found);
            }
        }
    }

    /// The ways to the APIs that follow from the region, of which each has several; to be asked where there is no login.
    async fn ways_to_apis(&self, report: &mut Report) {
        let endpoints = &self.tools.config.endpoints;
        let Some(node) = self.source.node_region().await else { return };
        let region = self.instance.token.region.clone().unwrap_or_else(|| node.clone());
        for (role, configured, api, region) in
            [(Role::Sts, &endpoints.sts, "sts", node), (Role::Api, &endpoints.cr, "cr", region)]
        {
            if configured.is_some() {
                continue;
            }
            let mut found = Vec::new();
            let mut any = false;
            for host in [format!("{api}-vpc.{region}.aliyuncs.com"), format!("{api}.{region}.aliyuncs.com")] {
                any |= network::way(self.tools, role, &host, &mut found).await;
            }
            if any { report.add_all(network::softened(found)) } else { report.add_all(found) }
        }
    }

    /// From the first credential to the login; whether there is one.
    pub(super) async fn hops(&self, report: &mut Report) -> bool {
        let login = self.source.prewarm().await;
        let hops = self.source.hops();
        // From the end, since a call that had to be made twice belongs to the hop that it succeeded for.
        let mut calls: Vec<_> = hops.iter().rev().map(|hop| self.tools.calls.take_last(call_of(hop.hop))).collect();
        let mut broken = false;
        for hop in &hops {
            let call = calls.pop().flatten();
            let finding = self.hop(hop, login.is_ok(), &mut broken);
            report.add(match call {
                Some(call) if finding.outcome != super::finding::Outcome::Skipped => call.describe(finding),
                _ => finding,
            });
            if let Some(note) = &hop.note {
                report.add(Finding::note(&hop.name, note));
            }
        }
        if login.is_err() {
            self.ways_to_apis(report).await;
        }
        login.is_ok()
    }

    fn hop(&self, hop: &HopStatus, has_login: bool, broken: &mut bool) -> Finding {
        let now = self.tools.clock.now();
        let unconfigured = Row::of(Sign::NoCredentials);
        match (&hop.held, &hop.failure) {
            (Some((_, expires)), _) => Finding::good(&hop.name, "good").until(*expires, now),
            _ if *broken => Finding::skipped(&hop.name, "not reached"),
            (None, Some(failure)) if std::ptr::eq(failure.row, unconfigured) && is_base(hop.hop) => {
                Finding::skipped(&hop.name, &failure.text)
            }
            (None, Some(failure)) => {
                *broken = true;
                // What failed stands before it already.
                let text = failure.text.strip_prefix(hop.name.as_str()).unwrap_or(&failure.text);
                let text = ["is denied: ", ": "]
                    .iter()
                    .find_map(|words| text.trim_start().strip_prefix(words))
                    .unwrap_or(text);
                let mut finding =
                    Finding::failed(&hop.name, text, Sign::UnknownCode).because(failure.row, failure.advice.clone());
                finding = finding.id(failure.request_id.clone());
                finding
            }
            (None, None) if has_login => Finding::good(&hop.name, "good"),
            (None, None) => Finding::skipped(&hop.name, "not asked"),
        }
    }

    /// The domains that the instance is served under.
    pub(super) async fn domains(&self, has_login: bool, report: &mut Report) -> Vec<RegistryHost> {
        match (&self.instance.domains, &self.instance.token.edition) {
            (Domains::Named(domains), _) => domains.clone(),
            (Domains::Discover, Edition::Personal) => match self.source.node_region().await {
                Some(region) => personal_domains(&region),
                None => {
                    report.add(Finding::failed("domains", "the region is not known", Sign::CallImpossible));
                    Vec::new()
                }
            },
            (Domains::Discover, Edition::Enterprise(_)) if !has_login => Vec::new(),
            (Domains::Discover, Edition::Enterprise(_)) => match self.source.domains().await {
                Ok(domains) => {
                    let finding = Finding::good("ListInstanceEndpoint", domains.join(", "));
                    report.add(match self.tools.calls.take_last("ListInstanceEndpoint") {
                        Some(call) => call.describe(finding),
                        None => finding,
                    });
                    domains.iter().filter_map(|domain| RegistryHost::parse(domain).ok()).collect()
                }
                Err(error) => {
                    report.add(Finding::error("ListInstanceEndpoint", &*error));
                    Vec::new()
                }
            },
        }
    }

    /// Name, route, TLS and challenge of each registry host that is asked, the way to its realm, and the way to the bucket
    /// that the instance is likely to have.
    ///
    /// One of several that cannot be reached is only a warning: a node seldom has a way to both the public and the VPC
    /// domain, and its pulls name the one that it has.
    pub(super) async fn challenges(&self, domains: &[RegistryHost], report: &mut Report) {
        let pull_from = &self.instance.upstream.pull_from;
        let mut found = Vec::new();
        let mut guessed = Vec::new();
        let mut answered = false;
        for host in if pull_from.is_empty() { domains } else { pull_from } {
            if !network::way(self.tools, Role::Registry, host.as_str(), &mut found).await {
                continue;
            }
            match self.source.realm(host).await {
                Ok(realm) => {
                    let finding = Finding::good("challenge", format!("bearers come from {realm}"));
                    found.push(match self.tools.calls.take_last("challenge") {
                        Some(call) => call.describe(finding),
                        None => finding,
                    });
                    answered |= network::way(self.tools, Role::Realm, &realm, &mut found).await;
                    guessed.extend(likely_bucket(self.instance.id.as_str(), host.host()));
                }
                Err(error) => found.push(Finding::error(format!("challenge of {host}"), &*error)),
            }
        }
        if answered {
            report.add_all(network::softened(found))
        } else {
            report.add_all(found)
        }
        // Only likely, so that nothing is wrong with the node where it is another; `--image` asks the real one.
        for bucket in guessed {
            let mut found = Vec::new();
            network::way(self.tools, Role::Bucket, bucket.host(), &mut found).await;
            report.add_all(network::softened(found));
        }
    }
}

/// The call that gets what a level holds.
const fn call_of(hop: Hop) -> &'static str {
    match hop {
        Hop::Oidc => "AssumeRoleWithOIDC",
        Hop::Metadata => "metadata service",
        Hop::AssumeRole => "AssumeRole",
        Hop::AuthorizationToken => "GetAuthorizationToken",
        Hop::Bearer => "bearer",
    }
}

const fn is_base(hop: Hop) -> bool {
    matches!(hop, Hop::Metadata | Hop::Oidc)
}
