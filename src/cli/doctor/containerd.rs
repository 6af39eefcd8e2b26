//! What containerd makes of its configuration: whether it reads a `hosts.toml` at all, and whether ours is in it.

use super::report::{Finding, Report};
use crate::cli::hosts::{Place, entry, in_words};
use crate::config::Config;
use crate::containerd::{Discovery, Kind, Server, State, discover};
use crate::error::diagnosis::Sign;
use crate::oci::RegistryHost;

/// Looks at containerd's configuration, and at the entry of each domain.
pub(super) fn examine(config: &Config, place: &Place, domains: &[RegistryHost], report: &mut Report) {
    let found = discover(&place.lookup());
    let version = found.version.map_or_else(|| "containerd".to_owned(), |version| format!("containerd {version}"));
    for finding in &found.findings {
        let sign = match finding.kind {
            // Within a pod, containerd's configuration is not there to be seen.
            Kind::Unreadable => {
                report.add(Finding::skipped("containerd", format!("{}; run this on the node", finding.text)));
                continue;
            }
            Kind::CriDisabled => Sign::CriDisabled,
            Kind::NoConfigPath | Kind::Elsewhere => Sign::NoConfigPath,
            Kind::JoinedConfigPath => Sign::JoinedConfigPath,
            Kind::LegacyRegistry => Sign::LegacyRegistry,
            Kind::Rewritten => Sign::Rewritten,
        };
        report.add(Finding::failed("containerd", &finding.text, sign).fix(&finding.fix));
    }
    let Some(directory) = found.certs_dir.root() else { return };
    if found.findings.is_empty() {
        let text = format!("{version} reads {} (according to {})", directory.display(), found.source);
        report.add(Finding::good("containerd", text));
    }
    entries(config, &found, domains, report);
}

fn entries(config: &Config, found: &Discovery, domains: &[RegistryHost], report: &mut Report) {
    let wanted = match entry(config, found) {
        Ok(wanted) => wanted,
        Err(error) => return report.add(Finding::failed("hosts.toml", error, Sign::HostsEntry)),
    };
    for domain in domains {
        // Both ways to end a list of hosts are right; which one was chosen is not known here.
        let servers = [Server::Fallback(domain.clone()), Server::Strict];
        let states = servers.map(|server| found.certs_dir.state(domain, &wanted, &server));
        let ours = states.iter().any(|found| found.state == State::Ours);
        let [found, _] = states;
        report.add(if ours {
            Finding::good("hosts.toml", format!("{domain} is sent to {}", wanted.mirror()))
        } else {
            let text = format!("{domain}: {} ({})", in_words(&found.state), found.path.display());
            Finding::failed("hosts.toml", text, Sign::HostsEntry)
        });
    }
}
