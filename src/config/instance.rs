//! One entry of `instances`, or of the incumbent's `acr-registry-info`: the same keys.

use std::time::Duration;

use super::environment::Environment;
use super::problem::Place;
use super::reader::{Field, Section};
use super::settings::Settings;
use super::{CredentialSource, Domains, EXPIRE_DURATION, Instance, credential_source, value};
use crate::cloud::endpoints::Region;
use crate::credentials::plan::{self, Base, RoleArn, SessionPolicy};
use crate::oci::{InstanceId, RegistryHost};
use crate::token::{self, Edition};
use crate::upstream;

/// What STS grants at all: from 15 minutes to the longest `MaxSessionDuration` a role can have (STS, AssumeRole).
const DURATIONS: std::ops::RangeInclusive<u64> = 900..=43_200;

/// Longest `Policy` that STS accepts (STS, AssumeRole).
const LONGEST_POLICY: usize = 2048;

/// Length of an `ExternalId` (STS, AssumeRole).
const EXTERNAL_ID: std::ops::RangeInclusive<usize> = 2..=1224;

/// Reads the list of entries, in both formats. No entry at all is a problem.
pub(super) fn read_all(field: &Field<'_>, settings: &Settings, environment: &Environment) -> Vec<(Place, Instance)> {
    let problems_before = field.findings.count();
    let items = field.items();
    if items.is_empty() && field.findings.count() == problems_before {
        field.problem("no instance is configured", "add one entry per ACR instance");
    }
    let read = |item: &Field<'_>| {
        let instance = item.section(|section| read(section, settings, environment)).flatten()?;
        Some((item.place.clone(), instance))
    };
    items.iter().filter_map(read).collect()
}

/// Reads one entry; `None` only after a problem was reported.
fn read(section: &Section<'_>, settings: &Settings, environment: &Environment) -> Option<Instance> {
    // Every key is asked for before anything returns, or it would be reported as unknown.
    let region = section.field("regionId").map(|field| field.parsed(Region::parse));
    let edition = edition(section);
    let domains = section.field("domains").map(|field| (domains(&field), field.place));
    let pull_from = section.field("pullFrom").map(|field| (field.words(value::registry_host), field.place));
    let repositories = section.field("repositories").map(|field| field.words(value::repository_pattern));
    let (source, chain) = chain(section, settings, environment);

    let region = match region {
        Some(region) => Some(region?),
        None => settings.endpoints.node_region.clone().filter(|_| edition == Some(Edition::Personal)),
    };
    let edition = edition?;
    let id = id(&edition, region.as_ref())?;
    let domains = match domains {
        Some((domains, _)) if domains.is_empty() => return None,
        Some((domains, place)) => {
            note_unsupported(section, &domains, &place);
            if let Some((hosts, place)) = &pull_from {
                note_strangers(section, hosts, &domains, place);
            }
            Domains::Named(domains)
        }
        None => default_domains(&edition, region.as_ref()),
    };
    let role = last_role(&chain);
    Some(Instance {
        id: id.clone(),
        domains,
        token: token::Params { instance: id.clone(), edition, region, realms: settings.network.realms.clone(), chain },
        upstream: upstream::Params {
            instance: id,
            pull_from: pull_from.map(|(hosts, _)| hosts).unwrap_or_default(),
            repositories: repositories.unwrap_or_default(),
            blob_hosts: settings.network.blob_hosts.clone(),
            blobs: settings.blobs.clone(),
            role,
        },
        credential_source: source,
    })
}

/// The domains, each once; none at all only after a problem was reported.
fn domains(field: &Field<'_>) -> Vec<RegistryHost> {
    let problems_before = field.findings.count();
    let mut domains: Vec<RegistryHost> = Vec::new();
    for domain in field.words(value::registry_host) {
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    if domains.is_empty() && field.findings.count() == problems_before {
        field.problem("no domain is named", "name every host that image names use, or leave the key out");
    }
    domains
}

fn edition(section: &Section<'_>) -> Option<Edition> {
    let Some(field) = section.field("instanceId") else { return Some(Edition::Personal) };
    field.parsed(|text| match InstanceId::parse(text) {
        Ok(_) if text.starts_with("cri-") => Ok(Edition::Enterprise(text.to_owned())),
        Ok(_) => Err("the id of an Enterprise Edition instance begins with 'cri-'; leave it empty for the Personal \
                          Edition"
            .to_owned()),
        Err(malformed) => Err(malformed.to_string()),
    })
}

/// The id, or for the Personal Edition, of which an account has one per region, its region in its place.
fn id(edition: &Edition, region: Option<&Region>) -> Option<InstanceId> {
    let text = match (edition, region) {
        (Edition::Enterprise(id), _) => id.clone(),
        (Edition::Personal, Some(region)) => format!("personal-{region}"),
        (Edition::Personal, None) => "personal".to_owned(),
    };
    InstanceId::parse(&text).ok()
}

/// The Personal Edition's domains follow from its region; an Enterprise Edition instance's do not.
fn default_domains(edition: &Edition, region: Option<&Region>) -> Domains {
    match (edition, region) {
        (Edition::Personal, Some(region)) => Domains::Named(personal_domains(region)),
        _ => Domains::Discover,
    }
}

/// The domains of the Personal Edition in a region: public, VPC, and the one of the classic network.
#[must_use]
pub fn personal_domains(region: &Region) -> Vec<RegistryHost> {
    let host = |form: &str| RegistryHost::parse(&format!("{form}.{region}.aliyuncs.com"));
    let hosts = ["registry", "registry-vpc", "registry-internal"].map(host);
    hosts.into_iter().flatten().collect()
}

/// Personal Edition instances of the newer kind give no temporary login; their domains are easy to recognise.
fn note_unsupported(section: &Section<'_>, domains: &[RegistryHost], place: &Place) {
    for domain in domains.iter().filter(|domain| domain.host().ends_with(".personal.cr.aliyuncs.com")) {
        section.findings.note(
            place,
            format!("{domain} belongs to a Personal Edition instance created after 2024-09-08"),
            "Alibaba Cloud gives no temporary login for these; use an Enterprise Edition instance",
        );
    }
}

/// A host of `pullFrom` is given what the instance's own registry is given; one that is not recognisably the same
/// registry is pointed out.
fn note_strangers(section: &Section<'_>, hosts: &[RegistryHost], domains: &[RegistryHost], place: &Place) {
    for host in hosts {
        if !domains.iter().any(|domain| registry_of(domain) == registry_of(host)) {
            let text = format!("{host} is none of the domains, and none of their other networks");
            section.findings.note(place, text, "it gets the bearers of this instance: check that it is the same one");
        }
    }
}

/// The host without the network in it: `demo-registry-vpc.<region>...` is `demo-registry.<region>...`.
fn registry_of(host: &RegistryHost) -> String {
    let (name, rest) = host.as_str().split_once('.').unwrap_or((host.as_str(), ""));
    let name = ["-vpc", "-internal"].iter().find_map(|network| name.strip_suffix(network)).unwrap_or(name);
    format!("{name}.{rest}")
}

fn chain(section: &Section<'_>, settings: &Settings, environment: &Environment) -> (CredentialSource, plan::Params) {
    let problems_before = section.findings.count();
    let (source, bases) = credential_source::read(section, &settings.rrsa, environment);
    let problems_after_source = section.findings.count();
    let hops = section.field("assumeRoleARN").map(|field| field.words(RoleArn::parse)).unwrap_or_default();
    let none_is_named = hops.is_empty() && section.findings.count() == problems_after_source;
    let duration = section.field("expireDuration").and_then(|field| field.parsed(session_seconds));
    let external_id = section.field("externalId").and_then(|field| field.parsed(external_id));
    let session_policy = section.field("sessionPolicy").and_then(|field| field.parsed(session_policy));
    for (index, hop) in hops.iter().enumerate() {
        if hops.iter().take(index).any(|earlier| earlier == hop) {
            let text = format!("{hop} stands twice in the chain");
            section.findings.problem(&section.place_of("assumeRoleARN"), text, "name each hop once, in order");
        }
    }
    if none_is_named {
        let place = section.place_of("assumeRoleARN");
        if external_id.is_some() {
            section.findings.problem(&place, "externalId is set, but no role is assumed with it", "set assumeRoleARN");
        }
        if matches!(bases.as_slice(), [Base::RamRole { .. }]) {
            let text = "no role of the registry's account is assumed: only instances of this node's account will do";
            section.findings.note(&place, text, "set assumeRoleARN to pull from another account");
        }
    }
    let cluster = bases.iter().find_map(cluster).unwrap_or_default();
    let chain = plan::Params {
        bases,
        hops,
        duration: duration.unwrap_or(EXPIRE_DURATION),
        session_name: environment.session_name(&cluster),
        session_policy: session_policy.unwrap_or_default(),
        external_id,
        expiring_threshold: settings.expiring_threshold,
    };
    // The chain has the last word on itself; what was said of its keys already is not said again.
    if let Err(error) = plan::plan(&chain)
        && section.findings.count() == problems_before
    {
        for problem in error.problems {
            section.findings.problem(&section.place, problem, "");
        }
    }
    (source, chain)
}

/// The role that pulls in the end, by its ARN; where none is assumed, the first credential in words.
fn last_role(chain: &plan::Params) -> String {
    match (chain.hops.last(), chain.bases.as_slice()) {
        (Some(role), _) | (None, [Base::Rrsa { role, .. }]) => role.to_string(),
        (None, bases) => bases.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    }
}

/// What tells the cluster apart: ACK names the OIDC provider of a cluster after it.
fn cluster(base: &Base) -> Option<String> {
    match base {
        Base::Rrsa { provider, .. } => Some(provider.as_str().to_owned()),
        _ => None,
    }
}

/// `expireDuration` is a number of seconds; a duration with a unit is understood too.
fn session_seconds(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => value::duration(text).unwrap_or_default(),
    };
    if DURATIONS.contains(&duration.as_secs()) {
        return Ok(duration);
    }
    let (least, most) = (DURATIONS.start(), DURATIONS.end());
    Err(format!("it must be a number of seconds from {least} to {most}, and not above the role's maximum"))
}

fn external_id(text: &str) -> Result<String, &'static str> {
    let fits = |character: char| character.is_alphanumeric() || "_+=,.@:/-".contains(character);
    if EXTERNAL_ID.contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("it must be 2 to 1224 letters, digits or any of _+=,.@:/-")
    }
}

fn session_policy(text: &str) -> Result<SessionPolicy, String> {
    match text {
        "pullOnly" => return Ok(SessionPolicy::PullOnly),
        "none" => return Ok(SessionPolicy::None),
        _ => {}
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(_)) if text.len() <= LONGEST_POLICY => Ok(SessionPolicy::Inline(text.to_owned())),
        Ok(serde_json::Value::Object(_)) => Err(format!("a policy has at most {LONGEST_POLICY} characters")),
        _ => Err("it must be pullOnly, none, or a policy as JSON text in quotes".to_owned()),
    }
}
