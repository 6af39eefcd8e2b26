//! `install` and `uninstall`: plans the changes, then makes them or shows them.

use super::super::Form;
use super::super::output::Failure;
use super::tell::{self, Done};
use super::wanted::Wanted;
use super::{Place, Writing, failure};
use crate::containerd::{CertsDir, Discovery, Installer, Kind, Outcome, discover};

/// Puts the entry into the files of the wanted domains.
pub(super) fn install(
    wanted: &Wanted,
    found: &Discovery,
    place: &Place,
    writing: &Writing,
    form: Form,
) -> Result<(), Failure> {
    let Wanted { entry, domains, complete } = wanted;
    if domains.is_empty() {
        let next = "run this again when the daemon is ready, or set 'domains' in the configuration";
        return Err(Failure::runtime("no served domain is known", next));
    }
    let outcomes = if writing.dry_run {
        let installer = Installer::new(found.certs_dir.clone(), writing.record(place)?, writing.force);
        installer.plan_install(domains, entry, *complete).map_err(|error| failure(&error))?
    } else {
        installed(wanted, found, place, writing)?
    };
    tell::outcomes(&Done { outcomes, dry_run: writing.dry_run }, form)
}

/// The same without telling: what became of each file.
pub(super) fn installed(
    wanted: &Wanted,
    found: &Discovery,
    place: &Place,
    writing: &Writing,
) -> Result<Vec<Outcome>, Failure> {
    let Wanted { entry, domains, complete } = wanted;
    let installer = Installer::new(found.certs_dir.clone(), writing.record(place)?, writing.force);
    installer.install(domains, entry, *complete).map_err(|error| failure(&error))
}

/// Takes our entries out of all files that have one.
pub(super) fn uninstall(place: &Place, writing: &Writing, form: Form) -> Result<(), Failure> {
    let found = discover(&place.lookup(None));
    let record = writing.record(place)?;
    let mut roots = found.certs_dir.roots().to_vec();
    if place.certs_dir.is_none() {
        // containerd may have been given another directory since.
        roots.extend(record.certs_dirs());
        roots.sort();
        roots.dedup();
    }
    if roots.is_empty() && found.findings.iter().any(|finding| finding.kind == Kind::Unreadable) {
        return Err(Failure::Refused(found.findings));
    }
    let installer = Installer::new(CertsDir::new(roots), record, writing.force);
    let outcomes = if writing.dry_run { installer.plan_uninstall() } else { installer.uninstall() };
    let outcomes = outcomes.map_err(|error| failure(&error))?;
    tell::outcomes(&Done { outcomes, dry_run: writing.dry_run }, form)
}
