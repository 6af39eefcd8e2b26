//! `install` where a distribution writes the files (k3s, RKE2): what is put there is gone with its next start, so nothing is.
//! Its registries.yaml sends containerd to the daemon, or has to; either is told.

use std::collections::BTreeSet;

use super::super::Form;
use super::super::output::{Failure, finding, warn};
use super::tell;
use super::wanted::Wanted;
use crate::containerd::{Discovery, Finding};

/// Nothing is left to do where every domain is sent to the daemon; else a refusal, with what to write.
pub(super) fn install(wanted: &Wanted, found: Discovery, dry_run: bool, form: Form) -> Result<(), Failure> {
    let Wanted { entry, domains, .. } = wanted;
    let not_sent = found.not_sent(domains, entry);
    if domains.is_empty() || !not_sent.is_empty() {
        not_sent.into_iter().for_each(|domain| warn(&complaint(domain.as_str())));
        return Err(Failure::Refused(found.findings));
    }
    let files: Vec<_> = domains.iter().map(|(domain, _)| found.certs_dir.file(domain)).collect();
    tell::sent(&files, dry_run, form)
}

/// What a watch has told of such a node, so that it is told once.
#[derive(Default)]
pub(super) struct Told {
    /// Whether every domain is sent to the daemon; `None`: nothing was told yet.
    all_sent: Option<bool>,
    /// The domains that are not.
    not_sent: BTreeSet<String>,
}

impl Told {
    /// Tells what is new.
    pub(super) fn tell(&mut self, wanted: &Wanted, found: &Discovery, rewritten: &Finding) {
        let not_sent = found.not_sent(&wanted.domains, &wanted.entry);
        let not_sent: BTreeSet<_> = not_sent.into_iter().map(ToString::to_string).collect();
        not_sent.difference(&self.not_sent).for_each(|domain| warn(&complaint(domain)));
        let all_sent = not_sent.is_empty();
        if self.all_sent != Some(all_sent) {
            match all_sent {
                true => tell::leads_here(wanted, " by registries.yaml"),
                false => warn(&finding(rewritten)),
            }
        }
        *self = Self { all_sent: Some(all_sent), not_sent };
    }
}

fn complaint(domain: &str) -> String {
    format!("note: registries.yaml does not send {domain} to the daemon\n")
}
