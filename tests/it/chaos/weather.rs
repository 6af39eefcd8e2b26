//! Takes the steps of a plan, one after another: puts faults in force, moves the clock, ends daemons.

use std::time::Duration;

use cloudsim::CloudSim;
use cloudsim::fault::{FaultId, Faults};
use cloudsim::ram::Policy;
use cloudsim::ram::setup;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::limits::Limits;
use super::plan::{Action, Plan, Revoked, Step};
use super::record::{Open, Record};
use super::site::{Names, Site};
use crate::support::POLL;
use crate::support::dns::Mood;

/// The right that is taken away and given back.
const RIGHT: &str = "cr:PullRepository";

/// How long a name server waits to be asked, which it is by new connections.
const ASKED_WITHIN: Duration = Duration::from_secs(8);

/// When a resolver repeats a question that nobody has answered, 5 s after it (`resolv.conf(5)`, `timeout`), and gets its connection
/// then: so long the silence lasts for whoever asked.
const ASKED_AGAIN: Duration = Duration::from_secs(6);

/// Everything that the steps act on.
pub(super) struct Weather<'a> {
    pub(super) cloud: &'a CloudSim,
    pub(super) record: Record,
    /// The one that stays, and the one that does not.
    pub(super) sites: [Site; 2],
    /// Faults that are in force while the next steps are taken.
    faults: JoinSet<()>,
    limits: Limits,
}

impl<'a> Weather<'a> {
    pub(super) fn new(cloud: &'a CloudSim, record: Record, sites: [Site; 2], length: Duration) -> Self {
        let limits = Limits::new(length, sites[0].names.is_some());
        Self { cloud, record, sites, faults: JoinSet::new(), limits }
    }

    /// Takes steps until `end`, and ends whatever is in force then.
    pub(super) async fn blow(&mut self, plan: &mut Plan, end: Instant) {
        while Instant::now() < end {
            let excused = self.record.excused();
            let step = plan.next(|card| self.limits.may(card, excused));
            self.take(step).await;
            // Hours of requests would fill the memory of the simulator.
            self.cloud.journal().clear();
            sleep(plan.dice.millis(20, 400)).await;
            while self.faults.try_join_next().is_some() {}
        }
        while self.faults.join_next().await.is_some() {}
        self.cloud.faults().clear();
        self.cloud.clock().set_offset(jiff::SignedDuration::ZERO);
        self.cloud.rotate_oidc_token().expect("a token file");
    }

    async fn take(&mut self, step: Step) {
        if step.alone {
            while self.faults.join_next().await.is_some() {}
        }
        let side = matches!(step.action, Action::Replace | Action::Kill).then_some(self.sites[1].name);
        let open = self.record.open(&step.name, step.sort, step.kind, side);
        match step.action {
            Action::Fault(fault, revoked) => {
                let id = self.cloud.fault(*fault.clone());
                self.revoke(revoked);
                let force = Force { faults: self.cloud.faults().clone(), record: self.record.clone(), open };
                let over = force.end(id, step.lasts);
                if step.alone {
                    over.await;
                } else {
                    self.faults.spawn(over);
                }
                return;
            }
            Action::Revoke(revoked) => self.revoke(revoked),
            // What was issued before may have expired at once, or have been issued in the future.
            Action::ClockJump(offset) => {
                self.limits.revocations.count();
                self.cloud.clock().set_offset(offset);
                // The kubelet, whose clock is the cloud's here, would have renewed the token in time.
                self.cloud.rotate_oidc_token().expect("a token file");
            }
            Action::Lifetimes(lifetime) => self.cloud.configure(|settings| {
                settings.realm.bearer_lifetime = lifetime;
                settings.blob_url.lifetime = lifetime;
            }),
            Action::RotateToken => self.cloud.rotate_oidc_token().expect("a token file"),
            Action::TokenFileAway => {
                std::fs::remove_file(self.cloud.oidc_token_file()).expect("it was there");
                self.revoke(Revoked::Sessions);
                sleep(step.lasts).await;
                self.cloud.rotate_oidc_token().expect("a token file");
            }
            Action::PermissionAway => {
                self.cloud.directory().remove_permission(setup::PULL_ROLE, RIGHT);
                self.revoke(Revoked::Bearers);
                sleep(step.lasts).await;
                self.cloud.directory().add_permission(setup::PULL_ROLE, &Policy::allow(&[RIGHT], "*"));
            }
            Action::Names { beside } => {
                self.configure(if beside { Names::BesideFailing } else { Names::Failing }, None);
                sleep(step.lasts).await;
                self.configure(Names::Good, None);
            }
            Action::NameServer(mood) => {
                let names = self.sites[0].names.clone().expect("the plan knows whether there is one");
                let asked = names.asked();
                names.set(mood);
                let over = Instant::now() + ASKED_WITHIN;
                while names.asked() == asked && Instant::now() < over {
                    sleep(POLL).await;
                }
                sleep(step.lasts).await;
                names.set(Mood::Good);
                if mood == Mood::Silent {
                    sleep(ASKED_AGAIN).await;
                }
                self.record.close(open, names.asked() - asked);
                return;
            }
            Action::Reload { connections, part_mib } => {
                let blobs = format!("blobs:\n  connections: {connections}\n  partSize: {part_mib}MiB\n");
                self.configure(Names::Good, Some(&blobs));
            }
            Action::BrokenFile => {
                self.sites.iter().for_each(Site::break_file);
                sleep(step.lasts).await;
                self.sites.iter().for_each(Site::restore_file);
            }
            Action::Replace => {
                let begun = Instant::now();
                let [_, site] = &mut self.sites;
                if let Err(what) = site.replace().await {
                    self.record.failed("the replacement", site.name, begun, what, false);
                }
            }
            Action::Kill => self.sites[1].kill().await,
        }
        self.record.close(open, 1);
    }

    fn configure(&mut self, names: Names, blobs: Option<&str>) {
        for site in &mut self.sites {
            site.configure(names, blobs);
        }
    }

    /// What issued the revoked is asked again, and so everything below it goes too.
    fn revoke(&mut self, revoked: Revoked) {
        if revoked == Revoked::Nothing || !self.limits.revocations.may() {
            return;
        }
        self.limits.revocations.count();
        match revoked {
            Revoked::Node => {
                self.cloud.directory().revoke_sessions(setup::WORKER_ROLE);
                self.cloud.directory().revoke_sessions(setup::PULL_ROLE);
            }
            Revoked::Sessions => self.cloud.directory().revoke_sessions(setup::PULL_ROLE),
            Revoked::Logins => self.cloud.directory().revoke_logins(Some(setup::INSTANCE)),
            Revoked::Bearers | Revoked::Nothing => {}
        }
        self.cloud.revoke_bearers();
    }
}

/// A fault in force.
struct Force {
    faults: Faults,
    record: Record,
    open: Open,
}

impl Force {
    /// Takes it out of force once it is used up, or its time is over.
    async fn end(self, id: FaultId, lasts: Duration) {
        let over = Instant::now() + lasts;
        while Instant::now() < over && !self.faults.used_up(id) {
            sleep(POLL).await;
        }
        let met = self.faults.struck(id);
        self.faults.remove(id);
        // What it did to an answer may still be on its way.
        sleep(POLL).await;
        self.record.close(self.open, met);
    }
}
