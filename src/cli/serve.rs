//! `serve`: reads the configuration, sets up the log, runs the daemon until it is told to end.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::Failure;
use super::version::COMMIT;
use super::{cgroup, process, service_manager};
use crate::app::{App, Sockets, StartError, Surroundings};
use crate::config::{Environment, Loaded, Overlay, Unusable, Watch};
use crate::containerd::Lookup;
use crate::error::chain;
use crate::telemetry::logs;

/// Most worker threads. Four move more bytes than a node's network, and every thread has buffers of its own.
const WORKERS: usize = 4;

/// Most threads for what blocks: resolving names and reading small files.
const BLOCKING: usize = 16;

/// What `systemctl status` shows while all is well.
const SERVING: &str = "serving pulls";

/// What it shows after a reload that failed.
const STALE: &str = "serving pulls; the new configuration was refused, see the log";

pub(super) fn run(
    path: &Path,
    environment: Environment,
    overlay: Overlay,
    login_socket: PathBuf,
    containerd: Lookup,
) -> Result<(), Failure> {
    let (watch, loaded) = Watch::begin(path.to_path_buf(), environment, overlay);
    let Loaded { config, notes } = loaded.map_err(Failure::Configuration)?;
    let system = |what: &str, error: &dyn std::error::Error| {
        Failure::runtime(format!("{what}: {error}"), "check the limits of this process (ulimit, systemd, cgroup)")
    };
    let log = logs::init(config.log).map_err(|error| system("the log cannot be set up", &error))?;
    for note in &notes {
        tracing::warn!(source = %path.display(), %note, "the configuration has a remark");
    }
    process::raise_open_files();
    let inherited = service_manager::inherited_socket()?;
    let runtime = runtime().map_err(|error| system("no threads can be started", &error))?;
    runtime.block_on(async {
        // Before anything else, so that a signal during the start is not lost.
        let signals = Signals::new().map_err(|error| system("signals cannot be received", &error))?;
        let source = Some(path.display().to_string());
        let (level, login_socket, containerd) = (log.level(), Some(login_socket), Some(containerd));
        let memory_limit = cgroup::memory_limit();
        let surroundings = Surroundings {
            level,
            source,
            commit: COMMIT,
            memory_limit,
            containerd,
            login_socket,
            ..Surroundings::default()
        };
        let sockets = Sockets::bind(&config, inherited).map_err(|error| not_started(&error))?;
        let app = App::start_on(sockets, &config, surroundings).map_err(|error| not_started(&error))?;
        service_manager::ready(SERVING);
        tokio::select! {
            () = serve(&app, signals, watch) => {}
            never = service_manager::feed_watchdog(app.visitor()) => match never {},
        }
        service_manager::stopping();
        app.shutdown().await;
        Ok(())
    })
}

fn runtime() -> io::Result<Runtime> {
    let workers = available_parallelism().map_or(1, usize::from).min(WORKERS);
    Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING)
        .thread_name("acr-pull-proxy")
        .enable_all()
        .build()
}

fn not_started(error: &StartError) -> Failure {
    match error {
        StartError::ClientAuth(_) | StartError::Certificate(_) => Failure::usage(chain(error), error.advice()),
        _ => Failure::runtime(chain(error), error.advice()),
    }
}

/// Until SIGTERM or SIGINT; goes over to a new configuration on SIGHUP and when the file has changed.
async fn serve(app: &App, mut signals: Signals, mut watch: Watch) {
    let signal = loop {
        let loaded = tokio::select! {
            _ = signals.terminate.recv() => break "SIGTERM",
            _ = signals.interrupt.recv() => break "SIGINT",
            _ = signals.hangup.recv() => watch.reload(),
            loaded = watch.changed() => loaded,
        };
        apply(app, loaded);
    };
    tracing::info!(signal, "ending");
}

fn apply(app: &App, loaded: Result<Loaded, Unusable>) {
    service_manager::reloading();
    let status = match loaded {
        Ok(Loaded { config, notes }) => {
            for note in &notes {
                tracing::warn!(%note, "the new configuration has a remark");
            }
            match app.reload(&config) {
                Ok(()) => SERVING,
                Err(error) => {
                    tracing::error!(error = chain(&error), advice = error.advice(), "the new configuration is refused");
                    STALE
                }
            }
        }
        Err(unusable) => {
            app.refused(&unusable);
            STALE
        }
    };
    service_manager::ready(status);
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}
