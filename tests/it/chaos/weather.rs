//! Takes the steps of a plan, one after another: puts faults in force, moves the clock, ends daemons.

use std::time::Duration;

use cloudsim::CloudSim;
use cloudsim::fault::Faults;
use cloudsim::ram::Policy;
use cloudsim::ram::setup;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::plan::{Action, Plan, Revoked, Step};
use super::record::{Open, Record};
use super::site::{Names, Site};
use crate::support::POLL;

/// The right that is taken away and given back.
const RIGHT: &str = "cr:PullRepository";

/// Everything that the steps act on.
pub(super) struct Weather<'a> {
    pub(super) cloud: &'a CloudSim,
    pub(super) record: Record,
    /// The one that stays, and the one that does not.
    pub(super) sites: [Site; 2],
    /// Faults that are in force while the next steps are taken.
    faults: JoinSet<()>,
    revocations: Revocations,
    /// When one of the services behind a token last failed.
    chain_failed: Option<Instant>,
}

/// How far faults of STS, Container Registry and realm are apart. A pull that needs all three waits for some 10 s in all, and a
/// throttling is obeyed with the fleet in mind: two such faults in one chain are an outage.
const CHAIN_APART: Duration = Duration::from_secs(15);

/// When what was issued has been taken back.
///
/// The daemon renews what is refused at once, three times in a row (a login, its session and the session before that may go
/// together); what is refused again within a minute of its issue, a fourth time in a row, it takes for a registry that
/// refuses everything, and holds off. And one request is tried with one new bearer. Both are meant, so revocations keep
/// to it: three at most without a quiet minute, and none within the other's request.
#[derive(Debug, Default)]
struct Revocations {
    last: Option<Instant>,
    in_a_row: u32,
}

/// Most revocations without a quiet minute.
const IN_A_ROW: u32 = 3;
/// A minute, and what an answer may have been on its way.
const QUIET: Duration = Duration::from_secs(65);
/// What the request that met the one before may take.
const APART: Duration = Duration::from_secs(4);

impl Revocations {
    /// Whether there may be one now; it is counted then.
    fn may(&mut self) -> bool {
        let since = self.last.map_or(QUIET, |last| last.elapsed());
        if since >= QUIET {
            self.in_a_row = 0;
        }
        let may = since >= APART && self.in_a_row < IN_A_ROW;
        if may {
            self.in_a_row += 1;
            self.last = Some(Instant::now());
        }
        may
    }
}

impl<'a> Weather<'a> {
    pub(super) fn new(cloud: &'a CloudSim, record: Record, sites: [Site; 2]) -> Self {
        Self { cloud, record, sites, faults: JoinSet::new(), revocations: Revocations::default(), chain_failed: None }
    }

    /// Takes steps until `end`, and ends whatever is in force then.
    pub(super) async fn blow(&mut self, plan: &mut Plan, end: Instant) {
        while Instant::now() < end {
            let step = plan.next();
            if !self.may(&step) {
                continue;
            }
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

    /// Whether a step may come already.
    fn may(&mut self, step: &Step) -> bool {
        if !matches!(step.action, Action::Fault(_, revoked) if revoked != Revoked::Nothing) {
            return true;
        }
        let may = self.chain_failed.is_none_or(|last| last.elapsed() >= CHAIN_APART);
        if may {
            self.chain_failed = Some(Instant::now());
        }
        may
    }

    async fn take(&mut self, step: Step) {
        if step.alone {
            while self.faults.join_next().await.is_some() {}
        }
        let side = matches!(step.action, Action::Replace | Action::Kill).then_some(self.sites[1].name);
        let open = self.record.open(&step.name, step.kind, side);
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
            Action::ClockJump(offset) if self.revocations.may() => {
                self.cloud.clock().set_offset(offset);
                // The kubelet, whose clock is the cloud's here, would have renewed the token in time.
                self.cloud.rotate_oidc_token().expect("a token file");
            }
            Action::ClockJump(_) => {}
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
        self.record.close(open);
    }

    fn configure(&mut self, names: Names, blobs: Option<&str>) {
        for site in &mut self.sites {
            site.configure(names, blobs);
        }
    }

    /// What issued the revoked is asked again, and so everything below it goes too.
    fn revoke(&mut self, revoked: Revoked) {
        if revoked == Revoked::Nothing || !self.revocations.may() {
            return;
        }
        match revoked {
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
    /// Takes it out of force once its time is over.
    async fn end(self, id: cloudsim::fault::FaultId, lasts: Duration) {
        sleep(lasts).await;
        self.faults.remove(id);
        // What it did to an answer may still be on its way.
        sleep(POLL).await;
        self.record.close(self.open);
    }
}
