//! Our own format (contract section 2). Every key of it is read and checked here, in the order of the documentation.

use std::io;
use std::path::{Path, PathBuf};

use super::client_token::client_token;
use super::environment::Environment;
use super::instance;
use super::problem::{Findings, Place};
use super::reader::{Field, Section};
use super::settings::Settings;
use super::{
    Config, Tls,
    load::{Overlay, read_limited},
    value,
};
use crate::cloud::endpoints;
use crate::http::client::HostOverride;
use crate::telemetry::logs;
use crate::upstream::BlobMode;

/// `expiringThreshold`: below a second nothing is refreshed in time, above six hours every session is expiring.
const THRESHOLDS: std::ops::RangeInclusive<u64> = 1..=6 * 3600;

/// `blobs.connections`: beyond this one pull would crowd out the others.
const CONNECTIONS: std::ops::RangeInclusive<u64> = 1..=32;

/// `blobs.partSize`: smaller parts cost more round trips than they save, larger ones are no parts.
const PART_SIZES: std::ops::RangeInclusive<u64> = 256 << 10..=256 << 20;

/// Longest `caFile`: a bundle of all public roots has a quarter of it.
const LONGEST_CA_FILE: u64 = 1 << 20;

/// Reads a whole document of ours.
pub(super) fn read(
    root: &Field<'_>,
    environment: &Environment,
    overlay: &Overlay,
    findings: &Findings,
) -> Option<Config> {
    root.section(|section| {
        let mut settings = Settings::new(environment, findings);
        read_settings(section, &mut settings);
        settings.overlay(overlay);
        let instances = match section.field("instances") {
            Some(field) => instance::read_all(&field, &settings, environment),
            None => {
                let text = "no instance is configured";
                findings.problem(
                    &section.place_of("instances"),
                    text,
                    "add 'instances:' with one entry per ACR instance",
                );
                Vec::new()
            }
        };
        settings.complete(instances, findings)
    })
}

fn read_settings(section: &Section<'_>, settings: &mut Settings) {
    if let Some(listen) = section.field("listen").and_then(|field| field.parsed(value::address)) {
        settings.listen = listen;
    }
    if let Some(admin) = section.field("admin").and_then(|field| field.parsed(value::address)) {
        settings.admin = admin;
    }
    if let Some(threshold) = section.field("expiringThreshold").and_then(|field| field.parsed(threshold)) {
        settings.expiring_threshold = threshold;
    }
    read_section(section, "rrsa", |rrsa| read_rrsa(rrsa, settings));
    read_section(section, "endpoints", |section| read_endpoints(section, &mut settings.endpoints));
    read_section(section, "network", |network| read_network(network, settings));
    read_section(section, "blobs", |blobs| read_blobs(blobs, settings));
    read_section(section, "clientAuth", |section| {
        let field = section.field("tokenFile");
        if field.is_none() {
            section.findings.problem(&section.place_of("tokenFile"), "clientAuth needs this key", "name the file");
        }
        settings.client_token_file = field.as_ref().and_then(absolute_path);
    });
    read_section(section, "tls", |section| {
        let required = |key| {
            let field = section.field(key);
            if field.is_none() {
                section.findings.problem(&section.place_of(key), "tls needs this key", "name the PEM file");
            }
            field.as_ref().and_then(absolute_path)
        };
        let (cert_file, key_file) = (required("certFile"), required("keyFile"));
        let ca_file = section.field("caFile").as_ref().and_then(absolute_path);
        let files = cert_file.zip(key_file);
        settings.tls = files.map(|(cert_file, key_file)| Tls { cert_file, key_file, ca_file });
    });
    read_section(section, "log", |log| read_log(log, &mut settings.log));
}

fn read_section<'a>(parent: &Section<'a>, key: &'static str, read: impl FnOnce(&Section<'a>)) {
    if let Some(field) = parent.field(key) {
        field.section(read);
    }
}

/// `expiringThreshold`, in both formats.
pub(super) fn threshold(text: &str) -> Result<std::time::Duration, String> {
    let threshold = value::duration(text)?;
    if THRESHOLDS.contains(&threshold.as_secs()) {
        return Ok(threshold);
    }
    Err("it must be from 1s to 6h".to_owned())
}

/// `rrsa`, in both formats.
pub(super) fn read_rrsa(section: &Section<'_>, settings: &mut Settings) {
    settings.rrsa.enable = section.field("enable").and_then(|field| field.flag());
    if let Some(path) = section.field("tokenFile").as_ref().and_then(absolute_path) {
        settings.rrsa.token_file = path;
    }
}

fn read_endpoints(section: &Section<'_>, endpoints: &mut endpoints::Params) {
    let host = |key| section.field(key).and_then(|field| field.parsed(value::api_host));
    // What the variables of Alibaba's SDKs say is the default: it holds where the file is silent.
    endpoints.sts = host("sts").or(endpoints.sts.take());
    endpoints.cr = host("cr").or(endpoints.cr.take());
    let metadata = section.field("metadata").and_then(|field| field.parsed(value::base_url));
    endpoints.metadata = metadata.or(endpoints.metadata.take());
}

fn read_network(section: &Section<'_>, settings: &mut Settings) {
    let network = &mut settings.network;
    for (name, targets) in section.field("hosts").map(|field| field.pairs()).unwrap_or_default() {
        match value::host_pattern(name) {
            Ok(name) => network.hosts.push(HostOverride { name, targets: targets.words(value::target) }),
            Err(rule) => targets.problem(format!("this name is not accepted: {rule}"), ""),
        }
    }
    let patterns = |key| section.field(key).map(|field| field.words(value::host_pattern)).unwrap_or_default();
    network.realms = patterns("realms");
    network.blob_hosts = patterns("blobHosts");
    if let Some(field) = section.field("caFile") {
        network.ca_file = absolute_path(&field);
        network.extra_roots = network.ca_file.as_deref().and_then(|path| read_certificates(&field, path));
    }
    network.blob_proxy = section.field("blobProxy").and_then(|field| field.parsed(value::base_url));
}

/// The text of `caFile`, which must hold at least one certificate.
fn read_certificates(field: &Field<'_>, path: &Path) -> Option<String> {
    let text = match read_limited(path, LONGEST_CA_FILE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            field.problem(format!("{}: {error}", path.display()), "name a file of PEM certificates");
            return None;
        }
        Err(error) => {
            field.problem(format!("{} cannot be read: {error}", path.display()), "check the path and who may read it");
            return None;
        }
    };
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        field.problem(format!("{} holds no PEM certificate", path.display()), "name a file of PEM certificates");
        return None;
    }
    Some(text)
}

fn read_blobs(section: &Section<'_>, settings: &mut Settings) {
    let blobs = &mut settings.blobs;
    let mode = |text: &str| match text {
        "stream" => Ok(BlobMode::Stream),
        "redirect" => Ok(BlobMode::Redirect),
        _ => Err("it must be stream or redirect"),
    };
    if let Some(mode) = section.field("mode").and_then(|field| field.parsed(mode)) {
        blobs.mode = mode;
    }
    if let Some(connections) = section.field("connections").and_then(|field| field.number(CONNECTIONS)) {
        blobs.connections = usize::try_from(connections).unwrap_or(blobs.connections);
    }
    if let Some(bytes) = section.field("partSize").and_then(|field| field.parsed(part_size)) {
        blobs.part_size = bytes;
    }
    if let Some(bytes) = section.field("memory").and_then(|field| field.parsed(value::size)) {
        blobs.memory = bytes;
    }
    if blobs.memory < blobs.part_size {
        let text = format!("{} is less than one part", value::size_text(blobs.memory));
        let hint = format!("give at least {} (partSize)", value::size_text(blobs.part_size));
        section.findings.problem(&section.place_of("memory"), text, hint);
    }
}

fn part_size(text: &str) -> Result<u64, String> {
    let bytes = value::size(text)?;
    if PART_SIZES.contains(&bytes) {
        return Ok(bytes);
    }
    let [least, most] = [*PART_SIZES.start(), *PART_SIZES.end()].map(value::size_text);
    Err(format!("it must be from {least} to {most}"))
}

fn read_log(section: &Section<'_>, log: &mut logs::Params) {
    if let Some(format) = section.field("format").and_then(|field| field.parsed(str::parse)) {
        log.format = Some(format);
    }
    if let Some(level) = section.field("level").and_then(|field| field.parsed(str::parse)) {
        log.level = level;
    }
}

pub(super) fn absolute_path(field: &Field<'_>) -> Option<PathBuf> {
    field.parsed(|text| {
        let path = Path::new(text);
        if path.is_absolute() { Ok(path.to_path_buf()) } else { Err("it must be an absolute path") }
    })
}

/// Files that other programs put into place, which may come later: absent ones are worth a note and no more.
pub(super) fn note_absent_files(config: &Config, findings: &Findings) {
    if let Some(Err(error)) = config.client_token_file.as_deref().map(client_token) {
        findings.note(&Place::named("clientAuth.tokenFile"), error.why(), error.advice());
    }
    for instance in &config.instances {
        for base in &instance.token.chain.bases {
            if let crate::credentials::plan::Base::Rrsa { token_file, .. } = base
                && !token_file.exists()
            {
                let text = format!("{} does not exist on this machine now", token_file.display());
                findings.note(&Place::named("rrsa.tokenFile"), text, "project the service-account token there");
                return;
            }
        }
    }
}
