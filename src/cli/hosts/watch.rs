//! `install --watch`: keeps the entries as the running daemon needs them, until it is told to end.
//!
//! The daemon says which domains it serves and where it listens, the configuration the rest. An entry is written once
//! the daemon has a login for its instance, and taken away only when the daemon is ready without that domain. Where a
//! distribution writes the files, it writes nothing, and tells whether they lead to the daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::super::Form;
use super::super::output::{Failure, warn};
use super::tell::{self, Done};
use super::token::{self, Making};
use super::wanted::{self, Wanted};
use super::{Entries, Place, Writing, change, daemon, discovered, registries};
use crate::config::Config;
use crate::containerd::{Action, Discovery, Outcome};
use crate::error::chain;

/// How often the daemon is asked, until something is installed and after it. A question costs it a millisecond.
const FIRST_LOOKS: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(5);

/// After how many looks the files are looked at, too: others write them anew (Spegel, k3s), and what could not be done
/// may have become possible.
const LOOKS_PER_REPAIR: u32 = 12;

/// What is to be kept installed.
pub(super) struct Task<'a> {
    /// Reads the configuration, as it is now.
    pub(super) configuration: &'a dyn Fn() -> Result<Config, Failure>,
    pub(super) entries: Entries,
    pub(super) place: Place,
    pub(super) writing: Writing,
    pub(super) making: Making,
    pub(super) form: Form,
}

/// What was done so far.
#[derive(Default)]
struct Progress {
    /// What is in the files, as far as they could be written; or is to be, where a distribution writes them.
    wanted: Option<Wanted>,
    /// Where containerd looks for them.
    found: Option<Discovery>,
    /// How often the daemon was asked.
    looks: u32,
    /// What was told of a file that is not as wanted, so that it is told once.
    told: BTreeMap<PathBuf, String>,
    /// What was told where a distribution writes the files.
    registries: registries::Told,
}

/// Runs until SIGTERM or SIGINT; SIGHUP has the files looked at at once. What fails before anything is installed ends it,
/// so that whoever started it sees that; what fails later is told and tried again.
pub(super) fn run(task: &Task<'_>) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| {
        Failure::runtime(format!("cannot wait for signals: {error}"), "check the limits of the node")
    })?;
    let config = (task.configuration)()?;
    let found = discovered(&task.place, &config)?;
    // The daemon may need it before it can be ready.
    config.client_token_file.as_deref().map(|path| token::token(path, task.making)).transpose()?;
    wanted::note_absent_ca(&config);
    match (found.rewritten(), found.certs_dir.root()) {
        (Some(rewritten), _) => warn(&format!("{}, so nothing is written there\n", rewritten.text)),
        (None, Some(directory)) => {
            warn(&format!("entries go to {} (according to {})\n", directory.display(), found.source));
        }
        (None, None) => {}
    }
    warn(&format!("waiting until the daemon at {} has a login\n", config.admin));

    let mut progress = Progress::default();
    let mut failing = String::new();
    loop {
        match task.look(&mut progress) {
            Ok(()) => failing.clear(),
            Err(failure) if progress.wanted.is_none() => return Err(failure),
            Err(failure) => {
                let (text, _) = failure.told();
                if text != failing {
                    warn(&text);
                    failing = text;
                }
            }
        }
        match signals.within(if progress.wanted.is_none() { FIRST_LOOKS } else { LOOK }) {
            None => {}
            Some(Told::Repair) => progress.looks = 0,
            Some(Told::End) => {
                warn("ending; the entries stay\n");
                return Ok(());
            }
        }
    }
}

impl Task<'_> {
    /// Asks the daemon, and installs where something has changed.
    fn look(&self, progress: &mut Progress) -> Result<(), Failure> {
        let config = (self.configuration)()?;
        let Some(status) = daemon::status(config.admin) else { return Ok(()) };
        let token = config.client_token_file.as_deref().map(|path| token::token(path, self.making)).transpose()?;
        let repair = progress.looks.is_multiple_of(LOOKS_PER_REPAIR);
        if repair {
            progress.found = Some(discovered(&self.place, &config)?);
        }
        let Some(found) = &progress.found else { return Ok(()) };
        progress.looks = progress.looks.wrapping_add(1);
        let wanted = Wanted::served(&config, &self.entries, found, token, &status)?;
        let changed = progress.wanted.as_ref() != Some(&wanted);
        if wanted.domains.is_empty() || !(changed || repair) {
            return Ok(());
        }
        if let Some(rewritten) = found.rewritten() {
            progress.registries.tell(&wanted, found, rewritten);
            progress.wanted = Some(wanted);
            return Ok(());
        }
        let outcomes = change::installed(&wanted, found, &self.place, &self.writing)?;
        let nothing = outcomes.iter().all(|outcome| outcome.result.is_err());
        let news = progress.news(outcomes);
        if !news.is_empty() {
            let told = tell::outcomes(&Done { outcomes: news, dry_run: false }, self.form);
            if nothing && progress.wanted.is_none() {
                return told;
            }
        }
        if progress.wanted.is_none() {
            tell::leads_here(&wanted, "");
        }
        progress.wanted = Some(wanted);
        Ok(())
    }
}

impl Progress {
    /// The outcomes that say something new.
    fn news(&mut self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let is_news = |outcome: &Outcome| {
            let problem = match &outcome.result {
                Err(error) => chain(error),
                Ok(change) if change.action == Action::Kept => "kept".to_owned(),
                Ok(change) => {
                    self.told.remove(&outcome.path);
                    return change.action != Action::Unchanged;
                }
            };
            self.told.insert(outcome.path.clone(), problem.clone()) != Some(problem)
        };
        outcomes.into_iter().filter(is_news).collect()
    }
}

/// What it can be told by signals. A process with the number 1 gets none that it does not ask for.
struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Told {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP: look at the files now.
    Repair,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let context = runtime.enter();
        let [terminate, interrupt, hangup] =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
        drop(context);
        Ok(Self { runtime, terminate: terminate?, interrupt: interrupt?, hangup: hangup? })
    }

    /// The one that has come, or comes within this time.
    fn within(&mut self, time: Duration) -> Option<Told> {
        let Self { runtime, terminate, interrupt, hangup } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => Some(Told::End),
                _ = interrupt.recv() => Some(Told::End),
                _ = hangup.recv() => Some(Told::Repair),
                () = tokio::time::sleep(time) => None,
            }
        })
    }
}
