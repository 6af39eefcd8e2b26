//! The answers of `hosts`, for people and for programs.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::Form;
use super::super::output::{Failure, finding, print, print_json, warn};
use super::wanted::Wanted;
use crate::containerd::{
    Action, Discovery, DomainState, Finding, Grade, HostsToml, Judged, Kind, Outcome, State, Version, masked, unified,
};
use crate::error::chain;

/// Exit code: some file could not be changed.
const FAILED: u8 = 1;

/// What `install` or `uninstall` came to.
pub(super) struct Done {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) dry_run: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DoneAnswer {
    ok: bool,
    dry_run: bool,
    files: Vec<FileAnswer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileAnswer {
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusAnswer<'a> {
    containerd: Option<Version>,
    source: &'a str,
    certs_dir: Option<&'a Path>,
    findings: Vec<&'a Finding>,
    domains: Vec<DomainAnswer<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DomainAnswer<'a> {
    #[serde(flatten)]
    found: &'a DomainState,
    grade: Grade,
}

#[derive(Debug, Serialize)]
struct File {
    path: PathBuf,
    text: String,
}

/// Tells every file, and fails where one could not be changed.
pub(super) fn outcomes(done: &Done, form: Form) -> Result<(), Failure> {
    let failed = done.outcomes.iter().any(|outcome| outcome.result.is_err());
    match form {
        Form::Json => {
            let file = |outcome: &Outcome| FileAnswer {
                path: outcome.path.clone(),
                action: outcome.result.as_ref().ok().map(|change| change.action),
                error: outcome.result.as_ref().err().map(|error| format!("{}; {}", chain(error), error.advice())),
            };
            let files = done.outcomes.iter().map(file).collect();
            print_json(&DoneAnswer { ok: !failed, dry_run: done.dry_run, files })?;
        }
        Form::Text => outcomes_as_text(done)?,
    }
    for error in done.outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err()) {
        warn(&format!("acr-pull-proxy: {}; {}.\n", chain(error), error.advice()));
    }
    if failed { Err(Failure::Told(FAILED)) } else { Ok(()) }
}

fn outcomes_as_text(done: &Done) -> Result<(), Failure> {
    if done.outcomes.is_empty() {
        return print("no hosts.toml has an entry of ours\n");
    }
    for outcome in &done.outcomes {
        let path = outcome.path.display();
        match &outcome.result {
            Err(_) => {}
            Ok(change) if change.action == Action::Kept => {
                warn(&format!(
                    "note: {path} was changed by hand and is left as it is; --force replaces our entry in it\n"
                ));
            }
            Ok(change) if done.dry_run => {
                let diff = unified(&outcome.path, change.before.as_deref(), change.after.as_deref());
                print(&masked(&diff))?;
            }
            Ok(change) => print(&format!("{path}: {}\n", word(change.action)))?,
        }
    }
    Ok(())
}

/// Tells that what a watch is for is so; `by` says whose work that is, where it is not ours.
pub(super) fn leads_here(wanted: &Wanted, by: &str) {
    let rest = if wanted.complete { "" } else { "; others follow when there is a login for them" };
    warn(&format!("containerd is sent to the daemon for {} domains{by}{rest}\n", wanted.domains.len()));
}

/// Tells that the files of these domains are as they should be without us.
pub(super) fn sent(files: &[PathBuf], dry_run: bool, form: Form) -> Result<(), Failure> {
    if form == Form::Json {
        let file = |path: &PathBuf| FileAnswer { path: path.clone(), action: Some(Action::Unchanged), error: None };
        return print_json(&DoneAnswer { ok: true, dry_run, files: files.iter().map(file).collect() });
    }
    let word = word(Action::Unchanged);
    print(&files.iter().map(|path| format!("{}: {word}, by registries.yaml\n", path.display())).collect::<String>())
}

const fn word(action: Action) -> &'static str {
    match action {
        Action::Created => "created",
        Action::Updated => "updated",
        Action::Unchanged => "as it should be",
        Action::Kept => "kept as changed by hand",
        Action::Withdrawn => "our entry taken out",
        Action::Removed => "removed",
    }
}

/// Tells how the entry of each domain is. Where a distribution writes the files, that is no finding as long as all of them
/// lead to the daemon.
pub(super) fn status(found: &Discovery, domains: &[Judged], form: Form) -> Result<(), Failure> {
    let certs_dir = found.certs_dir.root();
    let is_rewritten = found.rewritten().is_some();
    let all_good = !domains.is_empty() && domains.iter().all(|domain| domain.grade == Grade::Good);
    let findings = found.findings.iter().filter(|finding| finding.kind != Kind::Rewritten || !all_good);
    if form == Form::Json {
        let Discovery { version, source, .. } = found;
        let domains = domains.iter().map(|Judged { found, grade, .. }| DomainAnswer { found, grade: *grade });
        let (findings, domains) = (findings.collect(), domains.collect());
        return print_json(&StatusAnswer { containerd: *version, source, certs_dir, findings, domains });
    }
    let version = found.version.map_or_else(|| "of unknown version".to_owned(), |version| version.to_string());
    let directory = certs_dir.map_or_else(|| "no directory".to_owned(), |directory| directory.display().to_string());
    let mut text = format!("containerd {version} reads {directory} (according to {})\n", found.source);
    text.extend(findings.map(finding));
    for Judged { found: domain, words, .. } in domains {
        let (told, others) = match &domain.other_hosts[..] {
            _ if is_rewritten => (words.clone(), String::new()),
            [] => (state(&domain.state), String::new()),
            others => (state(&domain.state), format!("; also {}", others.join(", "))),
        };
        text.push_str(&format!("{}: {told}{others}\n", domain.domain));
    }
    print(&text)
}

fn state(state: &State) -> String {
    match state {
        State::Absent => "absent".to_owned(),
        State::Ours => "ours".to_owned(),
        State::Outdated => "ours, for other settings; run 'hosts install'".to_owned(),
        State::ChangedByHand => "changed by hand; 'hosts install --force' replaces it".to_owned(),
        State::OtherEntries => "other entries, ours is not among them".to_owned(),
        State::Shadowed { by } => format!("shadowed: containerd finds {} first", by.display()),
        State::Sealed => "for root to read only; run this as root".to_owned(),
        State::Unusable { reason, advice } => format!("unusable: {reason}; {advice}"),
    }
}

/// Prints the files as they would be on a node without any.
pub(super) fn files(found: &Discovery, wanted: &Wanted, form: Form) -> Result<(), Failure> {
    let mut files = Vec::new();
    for (domain, server) in &wanted.domains {
        let text = HostsToml::parse("").with(&wanted.entry, server);
        let text = text.map_err(|error| Failure::runtime(error.to_string(), "report this as a defect"))?;
        let path = match found.certs_dir.root() {
            Some(_) => found.certs_dir.file(domain),
            None => Path::new(domain.as_str()).join("hosts.toml"),
        };
        files.push(File { path, text: masked(&text) });
    }
    if wanted.entry.is_secret() {
        warn("note: *** stands for the token in clientAuth.tokenFile; the files are for root only (mode 0600)\n");
    }
    match form {
        Form::Json => print_json(&files),
        Form::Text => {
            let text = files.iter().map(|file| format!("# {}\n{}", file.path.display(), file.text));
            print(&text.collect::<Vec<_>>().join("\n"))
        }
    }
}
