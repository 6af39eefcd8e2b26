//! `hosts`: our entry in containerd's `hosts.toml` of every served domain.
//!
//! Decides nothing by itself: settings and the daemon say which domains, `containerd` does the work.

mod change;
mod daemon;
mod tell;
mod token;
mod wanted;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::output::Failure;
use super::{Output, Settings};
use crate::config::{Config, Environment, Loaded, load};
use crate::containerd::{Discovery, Entry, Lookup, NodeError, Record, discover};
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

/// The entry that 'hosts install' would write.
pub(super) fn entry(config: &Config, found: &Discovery) -> Result<Entry, String> {
    wanted::entry(config, found)
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    match arguments.command {
        Command::Install { settings, entries, place, writing, making, wait, output } => {
            let config = configuration(&settings, environment)?;
            let found = discovered(&place, &config)?;
            if let Some(seconds) = wait {
                daemon::wait_until_ready(config.admin, Duration::from_secs(seconds))?;
            }
            let token = config.client_token_file.as_deref().map(|path| match writing.dry_run {
                true => token::placeholder(path, making),
                false => token::token(path, making),
            });
            let wanted = Wanted::with_token(&config, &entries, &found, token.transpose()?)?;
            change::install(&wanted, &found, &place, &writing, output.output)
        }
        Command::Uninstall { place, writing, output } => change::uninstall(&place, &writing, output.output),
        Command::Status { settings, entries, place, output } => {
            let config = configuration(&settings, environment)?;
            let found = discover(&place.lookup(Some(mirror(&config))));
            let wanted = Wanted::new(&config, &entries, &found)?;
            let states =
                wanted.domains.iter().map(|(domain, server)| found.certs_dir.state(domain, &wanted.entry, server));
            tell::status(&found, states.collect(), output.output)
        }
        Command::Print { settings, entries, place, output } => {
            let config = configuration(&settings, environment)?;
            let found = discover(&place.lookup(Some(mirror(&config))));
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
    /// Where to look, for entries that lead to this mirror.
    pub(super) fn lookup(&self, mirror: Option<String>) -> Lookup {
        let (certs_dir, config) = (self.certs_dir.clone(), self.containerd_config.clone());
        Lookup { certs_dir, config, mirror, ..Lookup::default() }
    }
}

fn configuration(settings: &Settings, environment: &Environment) -> Result<Config, Failure> {
    let Loaded { config, .. } =
        load(&settings.config, environment, &settings.overlay()).map_err(Failure::Configuration)?;
    Ok(config)
}

/// Where entries lead.
pub(super) fn mirror(config: &Config) -> String {
    wanted::bare(config).mirror().to_owned()
}

/// Where entries go; a refusal where containerd would not read them.
fn discovered(place: &Place, config: &Config) -> Result<Discovery, Failure> {
    let found = discover(&place.lookup(Some(mirror(config))));
    if found.findings.iter().any(|finding| finding.kind.is_in_the_way()) {
        Err(tell::refusal(&found))
    } else {
        Ok(found)
    }
}

fn failure(error: &NodeError) -> Failure {
    Failure::runtime(chain(error), error.advice())
}
