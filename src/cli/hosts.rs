//! `hosts`: our entry in containerd's `hosts.toml` of every served domain.
//!
//! Decides nothing by itself: settings and the daemon say which domains, `containerd` does the work.

mod change;
mod daemon;
mod tell;
mod token;
mod wanted;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::output::{Failure, warn};
use super::{Output, Settings};
use crate::config::{Config, Environment, Loaded, load};
use crate::containerd::{Discovery, Entry, Lookup, NodeError, Record, State, discover};
use crate::error::chain;
use wanted::Wanted;

/// Where the record of what files were is kept.
const STATE_DIR: &str = "/var/lib/acr-pull-proxy";

/// Where it is kept below a directory that was named: an init container can write nothing else. containerd takes it for
/// the directory of a registry whose name begins with a dot, which none does.
const STATE_BELOW: &str = ".acr-pull-proxy";

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
        #[command(flatten)]
        making: token::Making,
        /// Wait at most this long until the daemon is ready; without it, the daemon need not run.
        #[arg(long, value_name = "SECONDS", env = "ACR_PULL_PROXY_HOSTS_WAIT")]
        wait: Option<u64>,
        #[command(flatten)]
        manner: Manner,
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
pub(super) struct Place {
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
    /// Where the record of what files were is kept [default: /var/lib/acr-pull-proxy, or .acr-pull-proxy below
    /// --certs-dir].
    #[arg(long, value_name = "DIR", env = "ACR_PULL_PROXY_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Replace what was changed by hand, too.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_FORCE")]
    force: bool,
    /// Change nothing, print what would change.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_DRY_RUN")]
    dry_run: bool,
}

/// What becomes of an installation that cannot be done now, or not in full.
#[derive(Debug, Clone, Copy, Args)]
struct Manner {
    /// Stay until SIGTERM: install each domain once the daemon has a login for it, and again when the daemon serves other
    /// domains, when the configuration changes, and where an entry was taken away.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_WATCH", conflicts_with_all = ["wait", "dry_run", "rotate_token"])]
    watch: bool,
    /// Tell what cannot be installed, and end with success all the same; for whoever starts the daemon next.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_BEST_EFFORT", conflicts_with = "watch")]
    best_effort: bool,
}

/// How the entry of a domain is, in words.
pub(super) fn in_words(state: &State) -> String {
    tell::state(state)
}

/// The entry that 'hosts install' would write.
pub(super) fn entry(config: &Config, found: &Discovery) -> Result<Entry, String> {
    wanted::entry(config, found)
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        Command::Install { settings, entries, place, writing, making, wait, manner, output } => {
            if manner.watch {
                let form = output.output;
                return watch::run(&watch::Task { settings, environment, entries, place, writing, making, form });
            }
            let config = configuration(&settings, environment)?;
            let token = config.client_token_file.as_deref().map(|path| match writing.dry_run {
                true => token::placeholder(path, making),
                false => token::token(path, making),
            });
            let token = token.transpose()?;
            let install = || {
                let found = discovered(&place)?;
                if let Some(seconds) = wait {
                    daemon::wait_until_ready(config.admin, Duration::from_secs(seconds))?;
                }
                let wanted = Wanted::with_token(&config, &entries, &found, token)?;
                change::install(&wanted, &found, &place, &writing, output.output)
            };
            match install() {
                Err(failure) if manner.best_effort => {
                    warn(&failure.told().0);
                    warn("note: what is told above was not done; with --best-effort that is no failure\n");
                    Ok(())
                }
                done => done,
            }
        }
        Command::Uninstall { place, writing, output } => change::uninstall(&place, &writing, output.output),
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

impl Writing {
    fn record(&self, place: &Place) -> Result<Record, Failure> {
        let below = place.certs_dir.as_ref().map(|certs_dir| certs_dir.join(STATE_BELOW));
        let state_dir = self.state_dir.clone().or(below).unwrap_or_else(|| PathBuf::from(STATE_DIR));
        Record::open(&state_dir).map_err(|error| failure(&error))
    }
}

impl Place {
    pub(super) fn lookup(&self) -> Lookup {
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

fn failure(error: &NodeError) -> Failure {
    Failure::runtime(chain(error), error.advice())
}
