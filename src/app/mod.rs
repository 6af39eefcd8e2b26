//! The wiring: a configuration becomes a running daemon, is swapped for another, and comes to an end in good order.
//!
//! Both sockets are bound before anything else happens, so that a start either fails at once and plainly or succeeds. A
//! cloud that cannot be reached is no failure: the daemon runs, is not ready, and goes on trying.

mod callers;
mod certificate;
mod error;
mod fleet;
pub(crate) mod instance;
pub(crate) mod logins;
mod memory;
mod node;
mod report;
mod sockets;
mod standby;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::admin::{self, Admin};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, Tls, Unusable};
use crate::containerd::Lookup;
use crate::proxy;
use crate::telemetry::logs::LevelHandle;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use callers::TokenWatch;
pub use error::StartError;
use fleet::Fleet;
use node::NodeView;
use report::{Build, Reporter, Signals};
pub use sockets::Sockets;
pub use standby::Standby;

/// How often a daemon that is not ready looks whether it is, so that pulls come to it from whoever it replaces.
const READY_LOOK: Duration = Duration::from_millis(100);

/// What the daemon is given beside its configuration. The default is right for tests.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The time of day of this node.
    pub clock: SharedClock,
    /// Changes the level of the log.
    pub level: LevelHandle,
    /// Where the configuration was read, for the status page.
    pub source: Option<String>,
    /// The commit that runs, for the status page and `build_info`.
    pub commit: &'static str,
    /// The limits of the face towards clients.
    pub proxy: proxy::Params,
    /// How many bytes of memory the process may take; `None`: no limit is known.
    pub memory_limit: Option<u64>,
    /// Where the set-up of containerd is looked at for the status page; `None`: nowhere.
    pub containerd: Option<Lookup>,
    /// Where other programs of this node ask for logins; `None`: nowhere.
    pub login_socket: Option<PathBuf>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            clock: SystemClock::shared(),
            level: LevelHandle::default(),
            source: None,
            commit: "unknown",
            proxy: proxy::Params::default(),
            memory_limit: None,
            containerd: None,
            login_socket: None,
        }
    }
}

/// The running daemon. Dropped without [`shutdown`](Self::shutdown), it ends at once.
#[derive(Debug)]
pub struct App {
    listen: SocketAddr,
    admin: SocketAddr,
    fleet: Arc<Fleet>,
    token_watch: TokenWatch,
    _certificate_watch: Option<Task>,
    /// As it was at the start.
    tls: Option<Tls>,
    reporter: Arc<Reporter>,
    readiness: Readiness,
    metrics: Metrics,
    surroundings: Surroundings,
    end: watch::Sender<bool>,
    visitor: proxy::Visitor,
    pulls: Task,
    operators: Task,
    _logins: Option<Task>,
}

impl App {
    /// Binds both addresses, builds every instance, and serves. Returns as soon as pulls are accepted; logins are
    /// fetched meanwhile. Port 0 takes a free port, which [`listen_addr`](Self::listen_addr) then tells.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start(config: Config, surroundings: Surroundings) -> Result<Self, StartError> {
        let sockets = Sockets::bind(&config, None)?;
        Self::start_on(sockets, &config, surroundings)
    }

    /// The same on sockets that listen already.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_on(sockets: Sockets, config: &Config, surroundings: Surroundings) -> Result<Self, StartError> {
        let Sockets { pulls, listen, operators, admin, succeeds } = sockets;
        // A socket that was handed over may be another one than the configuration names.
        guarded(listen, config)?;
        let (pulls, certificate_watch) = certificate::secure(pulls, config.tls.as_ref())?;
        let metrics = Metrics::new();
        metrics.describe_process(env!("CARGO_PKG_VERSION"), surroundings.commit);
        let (readiness, latch) = Readiness::new();
        let fleet = Fleet::start(config, Arc::clone(&surroundings.clock), metrics.clone())?;
        let build = Build { listen, commit: surroundings.commit, source: surroundings.source.clone() };
        let look = surroundings.containerd.clone();
        let look = look.map(|lookup| {
            let (tls, client_token_file) = (config.tls.clone(), config.client_token_file.clone());
            node::Params { lookup, listen, tls, client_token_file }
        });
        let node = NodeView::start(look, &fleet);
        let signals = Signals { readiness: readiness.clone(), recent: metrics.recent_pulls().clone(), node };
        let reporter = Reporter::new(build, Arc::clone(&fleet), signals, Arc::clone(&surroundings.clock));
        let reporter = Arc::new(reporter);
        metrics.config_read(true, surroundings.clock.now());

        let (end, mut ended) = watch::channel(false);
        let face = Admin::new(metrics.clone(), Arc::clone(&reporter) as Arc<dyn admin::Report>);
        let operators = Task(tokio::spawn(admin::serve(face, operators.into_inner())));
        let token_watch = TokenWatch::start(config.client_token_file.clone(), latch.clone());
        let (visitor, visits) = proxy::visits();
        let pulls = {
            let rules = proxy::Rules { callers: token_watch.callers(), table: fleet.table() };
            let (metrics, mut params) = (metrics.clone(), surroundings.proxy.clone());
            if let Some(limit) = surroundings.memory_limit {
                params.streams = params.streams.min(memory::streams(limit, config.blobs.memory));
            }
            let until = async move {
                // A sender that is gone is an end as well.
                ended.wait_for(|ended| *ended).await.ok();
            };
            let (readiness, fleet) = (readiness.clone(), Arc::clone(&fleet));
            // A look must not be what makes it log in: a fleet that starts at once is spread over time.
            let ready = async move {
                if !succeeds {
                    std::future::pending::<()>().await;
                }
                while !(readiness.is_ready() && fleet.serves()) {
                    sleep(READY_LOOK).await;
                }
            };
            Task(tokio::spawn(
                async move { proxy::serve(pulls, visits, rules, &metrics, params, (ready, until)).await },
            ))
        };
        let _logins = surroundings.login_socket.as_deref().and_then(|socket| logins::start(socket, &fleet));
        drop(latch);
        tracing::info!(%listen, %admin, instances = fleet.len(), "serving");
        Ok(Self {
            listen,
            admin,
            fleet,
            token_watch,
            _certificate_watch: certificate_watch,
            tls: config.tls.clone(),
            reporter,
            readiness,
            metrics,
            surroundings,
            end,
            visitor,
            pulls,
            operators,
            _logins,
        })
    }

    /// Where pulls come in.
    #[must_use]
    pub const fn listen_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Where operators look.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Asks the face for pulls whether it answers.
    #[must_use]
    pub fn visitor(&self) -> proxy::Visitor {
        self.visitor.clone()
    }

    /// Goes over to another configuration. Instances that did not change keep their tokens; pulls under way end as they
    /// began; the addresses stay until a restart.
    ///
    /// # Errors
    /// [`StartError`]; the configuration in use stays then.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        for (key, new, bound) in [("listen", config.listen, self.listen), ("admin", config.admin, self.admin)] {
            if new != bound && new.port() != 0 {
                tracing::warn!(key, %new, %bound, "a changed address takes effect with the next start");
            }
        }
        if config.tls != self.tls {
            tracing::warn!(key = "tls", "another certificate file takes effect with the next start");
        }
        let level = config.log.level;
        let taken = guarded(self.listen, config).and_then(|()| self.fleet.reload(config));
        if let Err(error) = taken {
            self.reporter.refused(vec![crate::error::chain(&error)]);
            self.metrics.config_read(false, self.surroundings.clock.now());
            return Err(error);
        }
        self.token_watch.reload(config.client_token_file.as_deref());
        self.surroundings.level.set(level);
        let now = self.surroundings.clock.now();
        self.reporter.accepted(now);
        self.metrics.config_read(true, now);
        tracing::info!(instances = self.fleet.len(), "the new configuration is in use");
        Ok(())
    }

    /// Notes that a new configuration was read and cannot be used; the one in use stays.
    pub fn refused(&self, unusable: &Unusable) {
        self.reporter.refused(unusable.problems.iter().map(ToString::to_string).collect());
        self.metrics.config_read(false, self.surroundings.clock.now());
        // Last, so that whoever reads it finds the metrics and the status saying the same.
        for problem in &unusable.problems {
            tracing::error!(source = unusable.source_name, %problem, "the new configuration is refused");
        }
    }

    /// Ends in good order: not ready any more, no new connection, and pulls under way get their time
    /// ([`proxy::Params::drain`]). Operators are answered until the last moment.
    pub async fn shutdown(mut self) {
        self.readiness.drain();
        self.end.send_replace(true);
        if let Err(error) = (&mut self.pulls.0).await {
            tracing::error!(%error, "serving pulls ended badly");
        }
        self.operators.0.abort();
        tracing::info!("ended");
    }
}

/// Whoever can come from outside this node has to know a token.
fn guarded(listen: SocketAddr, config: &Config) -> Result<(), StartError> {
    let guarded = listen.ip().is_loopback() || config.client_token_file.is_some();
    if guarded { Ok(()) } else { Err(StartError::ClientAuth(listen)) }
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
