//! `serve`: reads the configuration, sets up the log, runs the daemon until it is told to end.

mod start;

use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::Failure;
use super::service_manager::{self, Inherited};
use super::vigil::Vigil;
use crate::app::App;
use crate::config::{Environment, Loaded, Overlay, Unusable, Watch};
use crate::containerd::Lookup;
use crate::error::chain;
use start::Start;

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
    let (mut watch, loaded) = Watch::begin(path.to_path_buf(), environment, overlay);
    let inherited = Inherited::take();
    let runtime = runtime().map_err(|error| system("no threads can be started", &error))?;
    let mut start = Start { path: path.to_path_buf(), login_socket, containerd, inherited, log: None };
    runtime.block_on(async {
        // Before anything else, so that a signal during the start is not lost.
        let mut signals = Signals::new().map_err(|error| system("signals cannot be received", &error))?;
        let Some(app) = start.run(loaded, &mut watch, &mut signals).await? else { return Ok(()) };
        let vigil = Vigil::begin(app.visitor()).map_err(|error| system("no thread can be started", &error))?;
        service_manager::ready(SERVING);
        serve(&app, signals, watch).await;
        drop(vigil);
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

/// What the system refuses to this process.
fn system(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::runtime(format!("{what}: {error}"), "check the limits of this process (ulimit, systemd, cgroup)")
}

/// Until SIGTERM or SIGINT; goes over to a new configuration on SIGHUP and when the file has changed.
async fn serve(app: &App, mut signals: Signals, mut watch: Watch) {
    let signal = loop {
        let loaded = tokio::select! {
            signal = ended(&mut signals.terminate, &mut signals.interrupt) => break signal,
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

/// What the daemon can be told by signals.
#[derive(Debug)]
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

/// The signal that ends the daemon, when it has come.
async fn ended(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
