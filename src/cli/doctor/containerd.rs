//! What containerd makes of its configuration: whether it reads a `hosts.toml` at all, and whether ours is in it.

use super::finding::Finding;
use super::report::Report;
use crate::cli::hosts::{Place, entry, mirror};
use crate::config::Config;
use crate::containerd::{self, Discovery, Grade, Judged, Kind, discover};
use crate::error::diagnosis::Sign;
use crate::oci::RegistryHost;

/// What is not known where containerd cannot be seen.
const UNSEEN: &str = "whether containerd asks the daemon; run this on the node, or name its directory with --certs-dir";

/// Looks at containerd's configuration, and at the entry of each domain.
pub(super) fn examine(config: &Config, place: &Place, domains: &[RegistryHost], report: &mut Report) {
    let mirror = mirror(config);
    let found = discover(&place.lookup(Some(mirror.clone())));
    // Within a pod, containerd's configuration is not there to be seen.
    if let Some(unseen) = found.findings.iter().find(|finding| finding.kind == Kind::Unreadable) {
        report.add(Finding::skipped("containerd", format!("{}; run this on the node", unseen.text)));
        return report.not_seen(UNSEEN);
    }
    let entry = match entry(config, &found) {
        Ok(entry) => entry,
        Err(error) => return report.add(Finding::failed("hosts.toml", error, Sign::HostsEntry)),
    };
    let judged = found.judge(domains, &entry);
    if !judged.findings.iter().any(|finding| finding.kind.is_in_the_way()) {
        report.add_all(reads(&found));
    }
    report.add_all(judged.findings.iter().map(of_configuration));
    report.add_all(judged.domains.into_iter().map(|domain| of_domain(domain, &mirror, &found)));
}

fn reads(found: &Discovery) -> Option<Finding> {
    let version = found.version.map_or_else(|| "containerd".to_owned(), |version| format!("containerd {version}"));
    let text = format!("{version} reads {} (according to {})", found.certs_dir.root()?.display(), found.source);
    Some(Finding::good("containerd", text))
}

fn of_configuration(finding: &containerd::Finding) -> Finding {
    let sign = match finding.kind {
        Kind::CriDisabled => Sign::CriDisabled,
        Kind::NoConfigPath | Kind::Unreadable | Kind::Elsewhere => Sign::NoConfigPath,
        Kind::JoinedConfigPath => Sign::JoinedConfigPath,
        Kind::LegacyRegistry => Sign::LegacyRegistry,
        Kind::Rewritten => Sign::Rewritten,
        Kind::NotRestarted => Sign::ContainerdNotRestarted,
    };
    let told = Finding::failed("containerd", &finding.text, sign).fix(&finding.fix);
    if finding.kind.is_in_the_way() { told } else { told.softened() }
}

fn of_domain(judged: Judged, mirror: &str, found: &Discovery) -> Finding {
    let Judged { found: state, grade, words, fix } = judged;
    if grade == Grade::Good {
        return Finding::good("hosts.toml", format!("{} is sent to {mirror}", state.domain));
    }
    let rewritten = found.findings.iter().any(|finding| finding.kind == Kind::Rewritten);
    let sign = if rewritten { Sign::Rewritten } else { Sign::HostsEntry };
    let text = format!("{} {words} ({})", state.domain, state.path.display());
    let told = Finding::failed("hosts.toml", text, sign).fix(fix.unwrap_or_default());
    if grade == Grade::Bad { told } else { told.softened() }
}
