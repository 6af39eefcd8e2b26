//! A soak: clients pull and verify images in a loop while every fault of the simulated cloud, every revocation, jumps of its
//! clock, failing names, reloads, replacements and kills of the daemon come in an order that a seed decides.
//!
//! What is judged, and how:
//! - **Corrupt**: content that a client took for whole and that is not what the registry holds. None may be, except where
//!   the cloud itself sent other bytes than it announced ([`plan::Kind::Lie`]); a client notices by the digest, and
//!   whoever pulls after the lie must get the truth. containerd's store is read file by file after each pull.
//! - **Avoidable**: a pull that failed where trying again within the daemon's patience would have saved it. So it is every
//!   failure, except one that an outage has to do with ([`plan::Kind::Outage`]: for at least 4 s nothing of a service answers, no
//!   name resolves, or the right to pull is gone; the failure must say so, and begin within [`HEALED`] after it at the latest), a
//!   connection that broke between a kill of the daemon that is asked and the next one that listens, and those that a lie
//!   was told to, one for each. Faults that strike once or twice, services that fail for a second and a half, expiry,
//!   revocation, clock jumps, a silent name server, reloads (of broken files too) and replacements of the daemon excuse
//!   nothing. What could excuse anything is a small part of the time ([`EXCUSED`]).
//! - **In force**: every client got images from either daemon, and every sort of trouble met somebody.
//! - **Flat**: resident memory and descriptors of the daemon that lives through all of it.
//!
//! The node's own clock is real and cannot jump in this process; it is the cloud's that does, which looks the same to every
//! comparison of the two.
//!
//! By hand: `ACR_SOAK=1h cargo test --test it chaos::with_containerd -- --nocapture`; `ACR_SOAK_SEED=...` replays the order.

mod dice;
mod excuse;
mod http_client;
mod limits;
mod plan;
pub(crate) mod process;
mod record;
mod site;
mod weather;
mod with_containerd;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::dns::NameServer;
use crate::support::{REPOSITORY, TAG};
use dice::Dice;
use http_client::Failed;
use plan::{Plan, Sort};
use process::{Growth, Samples};
use record::Record;
use site::Site;
use weather::Weather;

/// How long a soak is unless told: with containerd, long enough for most sorts of trouble; without, as where nobody is
/// root, for a part of them.
const LENGTH: Duration = Duration::from_secs(120);
const LENGTH_WITHOUT_CONTAINERD: Duration = Duration::from_secs(30);

/// From this length on, every sort of trouble must have taken effect.
const EVERYTHING: Duration = Duration::from_secs(600);

/// In a shorter soak so many of the sorts may have met nobody, a third of them: some wait for a quiet minute or for their
/// share of what may be excused, some meet services that are seldom asked, and most come once or twice.
const MAY_BE_MISSING: usize = Sort::COUNT / 3;

/// Less than so much of the time, in percent, may be able to excuse a failure.
const EXCUSED: u64 = 15;

/// How long after an outage a pull may still fail because of it: while nothing is held that could be served, the daemon
/// asks again after a pause that doubles with each failure, and outages here last 6 s at most.
const HEALED: Duration = Duration::from_secs(6);

/// What a client waits after a failure; the kubelet would wait 10 s.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(300);

/// How far away the cloud is: so far that layers are opened before they are asked for, and read over several connections.
const AWAY: Pace = Pace { round_trip: Duration::from_millis(12), bytes_per_second: None, slow_start: true };

/// HTTP clients at once.
const CLIENTS: usize = 4;

/// Their rest between two pulls, so that two processors are not all they have.
const REST: Duration = Duration::from_millis(20);

/// From this length on, memory must be within 5 % of what it was when it had settled.
const LONG: Duration = Duration::from_secs(900);
/// In a shorter soak the allocator is still finding its size, and what is read ahead is up and down with the faults: so many
/// KiB may be added, a third of what may be read ahead.
const UNSETTLED_KIB: u64 = 32 * 1024;

/// Descriptors that may be open at the end beyond those after settling: each configuration brings pools of its own, and those
/// of the one before go when they have been idle for a while.
const DESCRIPTORS: u64 = 64;

#[tokio::test(flavor = "multi_thread")]
async fn no_pull_fails_that_a_retry_could_have_saved() {
    soak(false).await;
}

/// The soak, with a containerd among the clients or without.
#[expect(clippy::print_stdout, reason = "the seed and the figures are what somebody runs it for")]
async fn soak(containerd: bool) {
    let unless_told = if containerd { LENGTH } else { LENGTH_WITHOUT_CONTAINERD };
    let (length, seed) = (length().unwrap_or(unless_told), seed());
    println!("ACR_SOAK={}s ACR_SOAK_SEED={seed}", length.as_secs());
    let cloud = CloudSim::start().await.expect("a cloud");
    cloud.paces().set(AWAY);
    let image = image();
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    // Whoever is root for containerd's sake can also give the daemons a name server of their own.
    let names = containerd.then(|| NameServer::start(site::NAME));
    // Two ways to a first credential, so that the services of both can fail.
    let sites = [
        Site::start("stays", &cloud, Method::Rrsa, names.clone()).await,
        Site::start("is replaced and killed", &cloud, Method::WorkerRole, names).await,
    ];
    let record = Record::new();
    let end = Instant::now() + length;
    let samples =
        tokio::spawn(Samples::take(sites[0].daemon.pid(), (sites[0].daemon.listen, sites[0].daemon.admin), end));

    let ended = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    if containerd {
        sites.iter().for_each(|site| record.expect(with_containerd::CLIENT, site.name));
        let puller = with_containerd::Puller::start(&cloud, &sites).await;
        clients.spawn(puller.run(record.clone(), Arc::clone(&ended)));
    }
    sites.iter().for_each(|site| record.expect(Client::NAME, site.name));
    for number in 0..CLIENTS {
        let client = Client {
            image: image.clone(),
            sites: [0, 1].map(|site: usize| (sites[site].address(), sites[site].name)),
            record: record.clone(),
            ended: Arc::clone(&ended),
            dice: Dice::new(seed.wrapping_add(number as u64)),
        };
        clients.spawn(client.run());
    }
    let mut weather = Weather::new(&cloud, record.clone(), sites, length);
    weather.blow(&mut Plan::new(seed), end).await;

    // Calm: what was broken has healed, and everything comes through.
    sleep(HEALED).await;
    let failures = record.failures();
    sleep(HEALED / 2).await;
    ended.store(true, Ordering::SeqCst);
    clients.join_all().await;
    assert_eq!(record.failures(), failures, "pulls fail after the last fault\n{}", record.verdict().text);
    let verdict = record.verdict();
    let samples = samples.await.expect("samples");
    let (memory, descriptors) = (samples.resident_kib(), samples.descriptors());
    println!("{}", verdict.text);
    println!("resident KiB: {memory}\ndescriptors: {descriptors}");
    assert!(
        verdict.pulls.iter().all(|pulls| *pulls > 0),
        "ACR_SOAK_SEED={seed}: a client got nothing\n{}",
        verdict.text
    );
    let (missing, may_be_missing) = (&verdict.missing, if length < EVERYTHING { MAY_BE_MISSING } else { 0 });
    assert!(
        missing.len() <= may_be_missing || length < LENGTH,
        "ACR_SOAK_SEED={seed}: {missing:?} met nobody\n{}",
        verdict.text
    );
    assert!(verdict.excused_share < EXCUSED, "ACR_SOAK_SEED={seed}: too much is excused\n{}", verdict.text);
    assert_eq!((verdict.corrupt, verdict.avoidable), (0, 0), "ACR_SOAK_SEED={seed}\n{}", verdict.text);
    assert!(flat(memory, length), "ACR_SOAK_SEED={seed}: memory grew: {memory} KiB");
    assert!(descriptors.end <= descriptors.settled + DESCRIPTORS, "ACR_SOAK_SEED={seed}: {descriptors}");
}

fn flat(memory: Growth, length: Duration) -> bool {
    let may_add = if length >= LONG { memory.settled / 20 } else { UNSETTLED_KIB };
    memory.end <= memory.settled + may_add
}

/// One layer in several parts, and small ones.
fn image() -> Image {
    let large = Layer::random(6_000_000, 1);
    ImageBuilder::new().layers([large]).layers((2..5).map(|seed| Layer::random(200_000, seed))).build()
}

struct Client {
    image: Image,
    sites: [(std::net::SocketAddr, &'static str); 2],
    record: Record,
    ended: Arc<AtomicBool>,
    dice: Dice,
}

impl Client {
    const NAME: &str = "HTTP clients";

    async fn run(mut self) {
        while !self.ended.load(Ordering::SeqCst) {
            let (address, side) = self.sites[usize::from(self.dice.below(2) == 0)];
            let begun = Instant::now();
            match http_client::pull(address, &self.image, &mut self.dice).await {
                Ok(resumed) => self.record.pulled(Self::NAME, side, self.image.size(), resumed),
                Err(Failed { what, wrong }) => {
                    self.record.failed(Self::NAME, side, begun, what, wrong);
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
            sleep(REST).await;
        }
    }
}

/// `ACR_SOAK`: `90s`, `10m`, `1h`.
#[expect(clippy::disallowed_methods, reason = "a test is told by its environment how long it is to be")]
fn length() -> Option<Duration> {
    let text = std::env::var("ACR_SOAK").ok()?;
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => panic!("ACR_SOAK={text}: give a number and s, m or h"),
    };
    Some(Duration::from_secs(number.parse::<u64>().expect("ACR_SOAK: a number and s, m or h") * seconds))
}

/// `ACR_SOAK_SEED`, or another one each time.
#[expect(clippy::disallowed_methods, reason = "a seed of its own for each run, printed for a replay")]
fn seed() -> u64 {
    match std::env::var("ACR_SOAK_SEED") {
        Ok(text) => text.parse().expect("ACR_SOAK_SEED: a number"),
        Err(_) => std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs()),
    }
}
