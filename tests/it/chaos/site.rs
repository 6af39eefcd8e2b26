//! The two daemons of a soak: one that stays, whose memory is watched, and one that is replaced and killed all the time.

use std::net::SocketAddr;

use cloudsim::{CloudSim, Method};

use crate::support::client::Mirror;
use crate::support::daemon::{Daemon, PROGRAM};
use crate::support::dns::{self, NameServer};
use crate::support::{LIMIT, POLL};

/// A name that never resolves (RFC 6761, section 6.4).
const NOWHERE: &str = "nowhere.invalid";

/// What a name server of our own calls the cloud.
pub(super) const NAME: &str = "cloud.test";

/// What the names of the cloud resolve to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Good,
    /// A name that fails, and the address beside it.
    BesideFailing,
    Failing,
}

/// One daemon and the file it reads; its addresses outlive it.
#[derive(Debug)]
pub(super) struct Site {
    /// What it does: its name in figures.
    pub(super) name: &'static str,
    pub(super) daemon: Daemon,
    /// The configuration at the addresses it has.
    base: String,
    resolved: Names,
    /// Who tells the address of the cloud, where the daemon may have a name server of its own.
    pub(super) names: Option<NameServer>,
    blobs: String,
}

impl Site {
    pub(super) async fn start(name: &'static str, cloud: &CloudSim, method: Method, names: Option<NameServer>) -> Self {
        // The shortest sessions there are, so that they expire within a soak.
        let short = |config: String| config.replace("expireDuration: 3600", "expireDuration: 900");
        let daemon = start(&short(cloud.node_config(method)), names.as_ref()).await;
        let mut base = short(cloud.node_config_at(method, &daemon.listen.to_string(), &daemon.admin.to_string()));
        if names.is_some() {
            base = dns::by_name(&base, cloud.tls_addr(), NAME);
        }
        let site = Self { name, daemon, base, resolved: Names::Good, names, blobs: String::new() };
        site.write(&site.text());
        site
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.daemon.listen
    }

    /// Reads another good configuration.
    pub(super) fn configure(&mut self, names: Names, blobs: Option<&str>) {
        self.resolved = names;
        if let Some(blobs) = blobs {
            blobs.clone_into(&mut self.blobs);
        }
        self.write(&self.text());
    }

    /// Is given a file that is no configuration: cut off in the middle, as by an editor.
    pub(super) fn break_file(&self) {
        let text = self.text();
        let (half, _) = text.split_at(text.find("endpoints:").expect("a section"));
        self.write(&format!("{half}  - instanceId: [\n"));
    }

    pub(super) fn restore_file(&self) {
        self.write(&self.text());
    }

    /// A successor takes the addresses over once it is ready, as with `maxSurge: 1`; then the predecessor is told to end.
    ///
    /// # Errors
    /// What was not in good order.
    pub(super) async fn replace(&mut self) -> Result<(), String> {
        let successor = start(&self.text_at_start(), self.names.as_ref()).await;
        let operators = Mirror::at(successor.admin);
        let ready = async {
            while operators.get("/readyz").await.status != 200 {
                tokio::time::sleep(POLL).await;
            }
        };
        let ready = tokio::time::timeout(LIMIT, ready).await;
        let predecessor = std::mem::replace(&mut self.daemon, successor);
        self.restore_file();
        let log = tokio::task::spawn_blocking(|| predecessor.stop()).await.expect("it ends with success");
        if log.contains("requests are cut") {
            return Err("requests were cut at the end of a daemon".to_owned());
        }
        ready.map_err(|_| "a successor did not become ready".to_owned())
    }

    /// Dies at once, and is started again on the same addresses.
    pub(super) async fn kill(&mut self) {
        self.daemon.signal("KILL");
        // The addresses are shared among daemons, so that a new one may have them while the old one is still going.
        self.daemon = start(&self.text_at_start(), self.names.as_ref()).await;
        self.restore_file();
    }

    /// The log of an hour would fill memory: each pull is a line. So each daemon starts as it is configured, which shows
    /// that it serves, and goes over to warnings then.
    fn text(&self) -> String {
        format!("{}log:\n  level: warn\n", self.text_at_start())
    }

    fn text_at_start(&self) -> String {
        let mut text = String::new();
        for line in self.base.lines() {
            let host = line.strip_prefix("    \"").and_then(|line| line.split_once(": ")).map(|(_, address)| address);
            match (self.resolved, host) {
                (Names::Good, _) | (_, None) => text.push_str(line),
                (Names::BesideFailing, Some(address)) => {
                    text.push_str(&line.replace(address, &format!("[{NOWHERE}, \"{address}\"]")));
                }
                (Names::Failing, Some(address)) => text.push_str(&line.replace(address, NOWHERE)),
            }
            text.push('\n');
        }
        text + &self.blobs
    }

    /// Replaces the file in one step, and says so.
    fn write(&self, text: &str) {
        let file = self.daemon.config_file();
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, text).expect("a new configuration");
        std::fs::rename(fresh, file).expect("in place");
        self.daemon.signal("HUP");
    }
}

/// Starts a daemon; one with a name server asks no other.
async fn start(config: &str, names: Option<&NameServer>) -> Daemon {
    match names {
        Some(names) => Daemon::through(config, names.asked_by(PROGRAM)).await,
        None => Daemon::as_configured(config).await,
    }
}
