//! `hosts`: our entry in containerd's `hosts.toml` of every served domain.
//!
//! Decides nothing by itself: settings and the daemon say which domains, `containerd` does the work.

mod change;
mod daemon;
mod registries;
mod tell;
mod token;
mod wanted;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};

use super::output::{Failure, warn};
use super::usage::number;
use super::{Form, Settings};
use crate::config::{Config, Environment, load};
use crate::containerd::{Discovery, Entry, Kind, Lookup, NodeError, Record, discover};
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
        #[arg(long, value_name = "SECONDS", env = "ACR_PULL_PROXY_HOSTS_WAIT", value_parser = number::<u64>)]
        wait: Option<u64>,
        #[command(flatten)]
        manner: Manner,
    },
    /// Take our entries out; every file becomes what it was. Needs neither configuration nor daemon.
    Uninstall {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        writing: Writing,
    },
    /// Tell how the entry of each served domain is, and what keeps containerd from reading it.
    Status {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        entries: Entries,
        #[command(flatten)]
        place: Place,
    },
    /// Print the files for nodes where somebody else has to write them.
    Print {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        entries: Entries,
        #[command(flatten)]
        place: Place,
    },
}

/// What the entries say.
#[derive(Debug, Args)]
struct Entries {
    /// Ask nobody but the daemon, also when it does not answer; without it, containerd then asks the registry itself.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_STRICT", value_parser = BoolishValueParser::new())]
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
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_FORCE", value_parser = BoolishValueParser::new())]
    force: bool,
    /// Change nothing, print what would change.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_DRY_RUN", value_parser = BoolishValueParser::new())]
    dry_run: bool,
}

/// What becomes of an installation that cannot be done now, or not in full.
#[derive(Debug, Clone, Copy, Args)]
struct Manner {
    /// Stay until SIGTERM: install each domain once the daemon has a login for it, and again when the daemon serves other
    /// domains, when the configuration changes, and where an entry was taken away.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_WATCH", value_parser = BoolishValueParser::new(), conflicts_with_all = ["wait", "dry_run", "rotate_token"])]
    watch: bool,
    /// Tell what cannot be installed, and end with success all the same; for whoever starts the daemon next.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_BEST_EFFORT", value_parser = BoolishValueParser::new(), conflicts_with = "watch")]
    best_effort: bool,
}

/// The entry that 'hosts install' would write.
pub(super) fn entry(config: &Config, found: &Discovery) -> Result<Entry, String> {
    wanted::entry(config, found)
}

pub(super) fn run(arguments: Arguments, path: &Path, environment: &Environment, form: Form) -> Result<(), Failure> {
    let configuration = |settings: &Settings| {
        let loaded = load(path, environment, &settings.overlay()).map_err(Failure::Configuration)?;
        Ok(loaded.config)
    };
    match arguments.command {
        Command::Install { settings, entries, place, writing, making, wait, manner } => {
            if manner.watch {
                let configuration = &|| configuration(&settings);
                return watch::run(&watch::Task { configuration, entries, place, writing, making, form });
            }
            let config = configuration(&settings)?;
            let token = config.client_token_file.as_deref().map(|path| match writing.dry_run {
                true => token::placeholder(path, making),
                false => token::token(path, making),
            });
            let token = token.transpose()?;
            let install = || {
                let found = discovered(&place, &config)?;
                if let Some(seconds) = wait {
                    daemon::wait_until_ready(config.admin, Duration::from_secs(seconds))?;
                }
                let wanted = Wanted::with_token(&config, &entries, &found, token)?;
                match found.rewritten() {
                    Some(_) => registries::install(&wanted, found, writing.dry_run, form),
                    None => change::install(&wanted, &found, &place, &writing, form),
                }
            };
            match install() {
                Err(failure) if manner.best_effort => {
                    failure.report(form);
                    warn("note: what is told above was not done; with --best-effort that is no failure\n");
                    Ok(())
                }
                done => done,
            }
        }
        Command::Uninstall { place, writing } => change::uninstall(&place, &writing, form),
        Command::Status { settings, entries, place } => {
            let config = configuration(&settings)?;
            let found = discover(&place.lookup(Some(mirror(&config))));
            let wanted = Wanted::new(&config, &entries, &found)?;
            let judged = found.judge_exactly(&wanted.domains, &wanted.entry);
            tell::status(&found, &judged.domains, form)
        }
        Command::Print { settings, entries, place } => {
            let config = configuration(&settings)?;
            let found = discover(&place.lookup(Some(mirror(&config))));
            let wanted = Wanted::new(&config, &entries, &found)?;
            tell::files(&found, &wanted, form)
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

/// Where entries lead.
pub(super) fn mirror(config: &Config) -> String {
    wanted::bare(config).mirror().to_owned()
}

/// Where entries go; a refusal where containerd would not read them. Where only a distribution that writes the files stands
/// in the way, it may have been told to send containerd here: that is for [`registries`] to judge.
fn discovered(place: &Place, config: &Config) -> Result<Discovery, Failure> {
    let found = discover(&place.lookup(Some(mirror(config))));
    if found.findings.iter().any(|finding| finding.kind.is_in_the_way() && finding.kind != Kind::Rewritten) {
        Err(Failure::Refused(found.findings))
    } else {
        Ok(found)
    }
}

fn failure(error: &NodeError) -> Failure {
    Failure::runtime(chain(error), error.advice())
}
