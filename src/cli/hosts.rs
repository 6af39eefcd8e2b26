//! `hosts`: our entry in containerd's `hosts.toml` of every served domain.
//!
//! Decides nothing by itself: settings and the daemon say which domains, `containerd` does the work.

mod daemon;
mod tell;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::output::{Failure, warn};
use super::{Form, Output, Settings};
use crate::config::{Config, Domains, Environment, Loaded, load};
use crate::containerd::{CertsDir, Discovery, Entry, Installer, Lookup, NodeError, Outcome, Record, Server, discover};
use crate::error::chain;
use crate::oci::RegistryHost;
use crate::secret::Secret;
use tell::{Done, Shown};

/// Where the record of what files were is kept (contract section 6).
const STATE_DIR: &str = "/var/lib/acr-pull-proxy";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put our entry first into the hosts.toml of every served domain; nothing else in the files changes.
    Install {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        entries: Entries,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        writing: Writing,
        /// Wait at most this long until the daemon is ready; without it, the daemon need not run.
        #[arg(long, value_name = "SECONDS", env = "ACR_PULL_PROXY_HOSTS_WAIT")]
        wait: Option<u64>,
        #[command(flatten)]
        output: Output,
    },
    /// Take our entries out; every file becomes what it was. Needs neither configuration nor daemon.
    Uninstall {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        writing: Writing,
        #[command(flatten)]
        output: Output,
    },
    /// Tell how the entry of each served domain is, and what keeps containerd from reading it.
    Status {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        entries: Entries,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
    /// Print the files for nodes where somebody else has to write them.
    Print {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        entries: Entries,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        output: Output,
    },
}

/// What the entries say.
#[derive(Debug, Args)]
struct Entries {
    /// Ask nobody but the daemon, also when it does not answer; without it, containerd then asks the registry itself.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_STRICT")]
    strict: bool,
}

/// Where containerd reads its mirrors from.
#[derive(Debug, Args)]
struct Place {
    /// The directory of hosts.toml files [default: what containerd's own configuration says].
    #[arg(long, value_name = "DIR", env = "ACR_PULL_PROXY_CERTS_DIR")]
    certs_dir: Option<PathBuf>,
    /// containerd's config.toml [default: ask containerd].
    #[arg(long, value_name = "FILE", env = "ACR_PULL_PROXY_CONTAINERD_CONFIG")]
    containerd_config: Option<PathBuf>,
}

/// How files are changed.
#[derive(Debug, Args)]
struct Writing {
    /// Where the record of what files were is kept.
    #[arg(long, value_name = "DIR", env = "ACR_PULL_PROXY_STATE_DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
    /// Replace what was changed by hand, too.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_FORCE")]
    force: bool,
    /// Change nothing, print what would change.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_DRY_RUN")]
    dry_run: bool,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        Command::Install { settings, entries, place, writing, wait, output } => {
            let config = configuration(&settings, environment)?;
            let found = discovered(&place)?;
            if let Some(seconds) = wait {
                daemon::wait_until_ready(config.admin, Duration::from_secs(seconds))?;
            }
            install(&Wanted::new(&config, &entries, &found)?, &found, &writing, output.output)
        }
        Command::Uninstall { place, writing, output } => uninstall(&place, &writing, output.output),
        Command::Status { settings, entries, place, output } => {
            let config = configuration(&settings, environment)?;
            let found = discover(&place.lookup());
            let wanted = Wanted::new(&config, &entries, &found)?;
            let states =
                wanted.domains.iter().map(|(domain, server)| found.certs_dir.state(domain, &wanted.entry, server));
            tell::status(&found, states.collect(), output.output)
        }
        Command::Print { settings, entries, place, output } => {
            let config = configuration(&settings, environment)?;
            let found = discover(&place.lookup());
            let wanted = Wanted::new(&config, &entries, &found)?;
            tell::files(&found, &wanted, output.output)
        }
    }
}

/// What the settings ask for.
struct Wanted {
    entry: Entry,
    domains: Vec<(RegistryHost, Server)>,
    /// Whether every domain is known.
    complete: bool,
}

impl Wanted {
    fn new(config: &Config, entries: &Entries, found: &Discovery) -> Result<Self, Failure> {
        let mut entry = Entry::new(config.listen);
        if found.version.is_some_and(crate::containerd::Version::honours_dial_timeout) {
            entry = entry.with_dial_timeout();
        }
        if let Some(path) = &config.client_token_file {
            let next = "write a token of printable ASCII there, or take clientAuth out of the configuration";
            let unusable =
                |error: String| Failure::runtime(format!("clientAuth.tokenFile {}: {error}", path.display()), next);
            let token = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
            entry = entry.with_token(Secret::new(token.trim())).map_err(|error| unusable(error.to_string()))?;
        }
        let (domains, complete) = domains(config);
        let server = |domain: &RegistryHost| match entries.strict {
            true => Server::Strict,
            false => Server::Fallback(domain.clone()),
        };
        let domains = domains.into_iter().map(|domain| (domain.clone(), server(&domain))).collect();
        Ok(Self { entry, domains, complete })
    }
}

/// The served domains, and whether these are all: those that the cloud names for an instance are known to a running
/// daemon only.
fn domains(config: &Config) -> (Vec<RegistryHost>, bool) {
    let mut domains: Vec<RegistryHost> =
        config.instances.iter().flat_map(|instance| instance.domains.named()).cloned().collect();
    let open: Vec<_> = config.instances.iter().filter(|instance| instance.domains == Domains::Discover).collect();
    if open.is_empty() {
        return (domains, true);
    }
    let known = daemon::domains(config.admin).unwrap_or_default();
    let mut complete = true;
    for instance in open {
        match known.get(instance.id.as_str()) {
            Some(names) if !names.is_empty() => domains.extend(names.iter().cloned()),
            _ => {
                complete = false;
                warn(&format!(
                    "note: the domains of {} are known to the running daemon only, and {} does not tell them now; run \
                     this again when the daemon is ready, or set 'domains'\n",
                    instance.id, config.admin
                ));
            }
        }
    }
    (domains, complete)
}

impl Place {
    fn lookup(&self) -> Lookup {
        Lookup { certs_dir: self.certs_dir.clone(), config: self.containerd_config.clone(), ..Lookup::default() }
    }
}

fn configuration(settings: &Settings, environment: &Environment) -> Result<Config, Failure> {
    let Loaded { config, .. } =
        load(&settings.config, environment, &settings.overlay()).map_err(Failure::Configuration)?;
    Ok(config)
}

/// Where entries go; a refusal where containerd would not read them.
fn discovered(place: &Place) -> Result<Discovery, Failure> {
    let found = discover(&place.lookup());
    if found.findings.is_empty() { Ok(found) } else { Err(tell::refusal(&found)) }
}

fn install(wanted: &Wanted, found: &Discovery, writing: &Writing, form: Form) -> Result<(), Failure> {
    if wanted.domains.is_empty() {
        let next = "run this again when the daemon is ready, or set 'domains' in the configuration";
        return Err(Failure::runtime("no served domain is known", next));
    }
    change(found.certs_dir.clone(), writing, form, Some(&wanted.entry), |installer| {
        installer.plan_install(&wanted.domains, &wanted.entry, wanted.complete)
    })
}

fn uninstall(place: &Place, writing: &Writing, form: Form) -> Result<(), Failure> {
    let mut roots = discover(&place.lookup()).certs_dir.roots().to_vec();
    if place.certs_dir.is_none() {
        // containerd may have been given another directory since.
        roots.extend(open(writing)?.certs_dirs());
        roots.sort();
        roots.dedup();
    }
    change(CertsDir::new(roots), writing, form, None, Installer::plan_uninstall)
}

fn change(
    certs_dir: CertsDir,
    writing: &Writing,
    form: Form,
    entry: Option<&Entry>,
    plan: impl Fn(&Installer) -> Result<Vec<Outcome>, NodeError>,
) -> Result<(), Failure> {
    let installer = Installer::new(certs_dir, open(writing)?, writing.force);
    let outcomes = if writing.dry_run { plan(&installer) } else { installer.apply(plan) };
    let shown = if writing.dry_run { Shown::Plan } else { Shown::Done };
    tell::outcomes(&Done { outcomes: outcomes.map_err(|error| failure(&error))?, entry, shown }, form)
}

fn open(writing: &Writing) -> Result<Record, Failure> {
    Record::open(&writing.state_dir).map_err(|error| failure(&error))
}

fn failure(error: &NodeError) -> Failure {
    Failure::runtime(chain(error), error.advice())
}
