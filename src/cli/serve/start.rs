//! The start. Where it fails, the process ends at once, unless sockets were handed over: systemd's queue would hold every
//! pull then, so whoever comes is told why, and the start is tried until it succeeds.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::super::output::{Failure, warn};
use super::super::service_manager::{self, Inherited};
use super::super::version::COMMIT;
use super::super::vigil::Vigil;
use super::super::{cgroup, process};
use super::{Signals, ended, system};
use crate::app::{App, Sockets, Standby, StartError, Surroundings};
use crate::config::{Loaded, Tls, Unusable, Watch};
use crate::containerd::Lookup;
use crate::error::chain;
use crate::telemetry::logs::{self, Log};

/// The pause between two tries. The same failure is told once.
const PAUSE: Duration = Duration::from_secs(1);

/// What the daemon is started with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) path: PathBuf,
    pub(super) login_socket: PathBuf,
    pub(super) containerd: Lookup,
    pub(super) inherited: Inherited,
    /// The log, once a good configuration has said how it is to be.
    pub(super) log: Option<Log>,
}

/// What is there in place of the daemon.
#[derive(Debug)]
struct Waiting {
    told: String,
    standby: Standby,
    _vigil: Vigil,
}

impl Start {
    /// The running daemon; `None` where a signal ended the wait for it.
    pub(super) async fn run(
        &mut self,
        mut loaded: Result<Loaded, Unusable>,
        watch: &mut Watch,
        signals: &mut Signals,
    ) -> Result<Option<App>, Failure> {
        let mut waiting: Option<Waiting> = None;
        let app = loop {
            let tls = loaded.as_ref().ok().and_then(|loaded| loaded.config.tls.clone());
            let failure = match loaded.map_err(Failure::Configuration).and_then(|loaded| self.attempt(&loaded)) {
                Ok(app) => break Some(app),
                Err(failure) if self.inherited.sockets.is_empty() => return Err(failure),
                Err(failure) => failure,
            };
            let (told, _) = failure.told();
            if waiting.as_ref().is_none_or(|waiting| waiting.told != told) {
                warn(&told);
                Waiting::end(waiting.take()).await;
                waiting = Some(self.wait(&failure, told, tls.as_ref())?);
            }
            tokio::select! {
                _ = ended(&mut signals.terminate, &mut signals.interrupt) => break None,
                _ = signals.hangup.recv() => {}
                () = sleep(PAUSE) => {}
            }
            loaded = watch.reload();
        };
        Waiting::end(waiting).await;
        Ok(app)
    }

    /// One try.
    fn attempt(&mut self, loaded: &Loaded) -> Result<App, Failure> {
        let Loaded { config, notes } = loaded;
        let level = match &self.log {
            Some(log) => {
                log.level().set(config.log.level);
                log.level()
            }
            None => {
                let log = logs::init(config.log).map_err(|error| system("the log cannot be set up", &error))?;
                process::raise_open_files();
                self.log.insert(log).level()
            }
        };
        let surroundings = Surroundings {
            level,
            source: Some(self.path.display().to_string()),
            commit: COMMIT,
            memory_limit: cgroup::memory_limit(),
            containerd: Some(self.containerd.clone()),
            login_socket: Some(self.login_socket.clone()),
            ..Surroundings::default()
        };
        let inherited = self.inherited.socket()?;
        let sockets = Sockets::bind(config, inherited).map_err(|error| not_started(&error))?;
        let app = App::start_on(sockets, config, surroundings).map_err(|error| not_started(&error))?;
        for note in notes {
            tracing::warn!(source = %self.path.display(), %note, "the configuration has a remark");
        }
        Ok(app)
    }

    /// Answers in place of the daemon. To the service manager that is a service which runs, so that nobody waits for it;
    /// its status says what it does.
    fn wait(&self, failure: &Failure, told: String, tls: Option<&Tls>) -> Result<Waiting, Failure> {
        let why = match failure {
            Failure::Configuration(unusable) => {
                let first = unusable.problems.first().map(ToString::to_string).unwrap_or_default();
                format!("wrong configuration: {first}")
            }
            Failure::Usage { what, .. } | Failure::Runtime { what, .. } => what.clone(),
            Failure::Refused(_) | Failure::Told(_) => "the daemon cannot start".to_owned(),
        };
        let standby = Standby::start(&self.inherited.sockets, tls, &why);
        let standby = standby.map_err(|error| system("the sockets cannot be used", &error))?;
        let vigil = Vigil::begin(standby.visitor()).map_err(|error| system("no thread can be started", &error))?;
        service_manager::ready(&format!("not serving; every pull gets 503: {why}"));
        Ok(Waiting { told, standby, _vigil: vigil })
    }
}

impl Waiting {
    async fn end(waiting: Option<Self>) {
        if let Some(Self { standby, .. }) = waiting {
            standby.end().await;
        }
    }
}

fn not_started(error: &StartError) -> Failure {
    match error {
        StartError::ClientAuth(_) | StartError::Certificate(_) => Failure::usage(chain(error), error.advice()),
        _ => Failure::runtime(chain(error), error.advice()),
    }
}
