//! A whole pull by a real containerd: directly with a pull secret, and through the daemon.
//!
//! Each run pulls an image nobody has asked for before, from a repository of its own, into an empty content store. Direct
//! is what a node does without the daemon: containerd is handed user and password by the CRI, is challenged, goes to the
//! realm, and follows the redirects itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::journal::Service;
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use tokio::time::{Instant, interval};

use crate::How;
use crate::conditions::{installed, root};
use crate::containerd::Containerd;
use crate::cri::pull_image_as;
use crate::node::Node;
use crate::part::LeftOut;
use crate::peers::Peer;
use crate::profile::{Profile, Watch, Watched};
use crate::support::{DOMAIN, processor_seconds};
use crate::table::{Bar, Row};

/// The image of the bars: eight layers, 200 MB.
const LAYERS: u64 = 8;
const LAYER: usize = 25_000_000;

/// How often the snapshots are looked at for the first unpacked file.
const LOOK: Duration = Duration::from_millis(3);

/// How much of the end of a path is told: a digest is known by less.
const TOLD: usize = 24;

/// A network, and what a pull over it is held to.
pub(crate) struct Network {
    name: &'static str,
    pace: Pace,
    /// Bar of the time until containerd begins to unpack.
    unpack: Bar,
    /// Bar of the whole pull.
    whole: Bar,
    /// How many runs are taken for each that is wished for: more where a run is short and what is told apart is little.
    repeat: usize,
}

/// Far away.
pub(crate) const WIDE_AREA: Network = Network {
    name: "50 ms",
    pace: Pace { round_trip: Duration::from_millis(50), bytes_per_second: None, slow_start: true },
    unpack: Bar::None,
    whole: Bar::AtMost(0.5),
    repeat: 1,
};

/// Near, with a signed speed limit.
pub(crate) const LIMITED: Network = Network {
    name: "10 ms, 15 MB/s per connection",
    pace: Pace { round_trip: Duration::from_millis(10), bytes_per_second: Some(15_000_000), slow_start: true },
    unpack: Bar::AtMost(0.35),
    whole: Bar::AtMost(0.42),
    repeat: 1,
};

/// On this machine.
pub(crate) const LOCAL: Network = Network {
    name: "no latency, no limit",
    pace: Pace { round_trip: Duration::ZERO, bytes_per_second: None, slow_start: false },
    unpack: Bar::None,
    whole: Bar::AtMost(1.05),
    repeat: 4,
};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Daemon,
    /// docker-registry as a pull-through proxy.
    Registry,
}

/// How long one pull took.
#[derive(Debug, Clone, Copy)]
struct Times {
    begun: Instant,
    /// Until the first file of the first layer was unpacked.
    unpack: Duration,
    whole: Duration,
}

/// Pulls over one network.
pub(crate) async fn measure(network: &Network, how: How) -> Result<Vec<Row>, LeftOut> {
    if !root() || !installed("containerd") {
        return Err(LeftOut("a real containerd: needs root and the packages containerd and runc".to_owned()));
    }
    let node = Node::on_https(network.pace).await?;
    let registry = Peer::docker_registry(&node).await;
    if let Err(LeftOut(why)) = &registry {
        eprintln!("left out: {why}");
    }
    let registry = registry.ok();
    let mut ways = vec![Way::Direct, Way::Daemon];
    ways.extend(registry.is_some().then_some(Way::Registry));
    let mut all: Vec<(Way, Vec<Times>, Profile)> =
        ways.into_iter().map(|way| (way, Vec::new(), Profile::default())).collect();
    // All runs together: the kernel counts in hundredths of a second, and one pull takes some ten of them.
    let (runs, mut spent) = (how.runs * network.repeat, 0.0);
    for run in 0..runs {
        let repository = format!("team/app-{run}");
        node.cloud.push(setup::INSTANCE, &repository, "v1", &image(run)).expect("pushed");
        for (way, times, profile) in &mut all {
            let mirror = match way {
                Way::Direct => None,
                Way::Daemon => Some(node.daemon.listen),
                Way::Registry => registry.as_ref().map(|registry| registry.listen),
            };
            eprint!("{way:?}: ");
            let before = processor_seconds(node.daemon.pid());
            let pulled = pull(&node, mirror, &repository, profile).await;
            if *way == Way::Daemon {
                spent += processor_seconds(node.daemon.pid()) - before;
            }
            if how.timeline {
                timeline(&node, pulled.begun);
            }
            times.push(pulled);
        }
        // Who goes first changes, in case the machine gets warm.
        all.rotate_left(1);
    }
    if how.profile {
        for (way, _, profile) in &all {
            eprintln!("{way:?}, mean of {runs}:\n{profile}");
        }
    }
    let row = |what: &str, pick: fn(&Times) -> Duration, bar: Bar| {
        let seconds = |wanted: Way| -> Option<Vec<f64>> {
            let (_, times, _) = all.iter().find(|(way, ..)| *way == wanted)?;
            Some(times.iter().map(|times| pick(times).as_secs_f64()).collect())
        };
        let beside = [("direct", Way::Direct), ("docker-registry", Way::Registry)];
        let beside: Vec<_> = beside.into_iter().filter_map(|(name, way)| Some((name, seconds(way)?))).collect();
        let daemon = seconds(Way::Daemon).expect("the daemon was asked");
        Row::of_runs(format!("{what}, {}, s", network.name), &daemon, &beside, bar)
    };
    Ok(vec![
        row("until containerd begins to unpack", |times| times.unpack, network.unpack),
        row("whole pull", |times| times.whole, network.whole),
        Row::alone(
            format!("processor time of the daemon for a whole pull, {}, s", network.name),
            spent / runs as f64,
            Bar::None,
        ),
    ])
}

fn image(run: usize) -> Image {
    let layers = (0..LAYERS).map(|number| Layer::random(LAYER, (run as u64 + 1) * 100 + number));
    ImageBuilder::new().layers(layers).build()
}

/// Pulls through a mirror, or directly with a pull secret.
async fn pull(node: &Node, mirror: Option<SocketAddr>, repository: &str, profile: &mut Profile) -> Times {
    let containerd = node.containerd().await;
    let (user, password) = node.cloud.login(setup::INSTANCE).expect("the instance");
    let login = mirror.is_none().then_some((user.as_str(), password.as_str()));
    if let Some(mirror) = mirror {
        containerd.send_pulls_to(DOMAIN, &format!("http://{mirror}"));
    }
    node.cloud.journal().clear();
    let watched = [
        Watched { name: "containerd", letter: 'c', pid: containerd.pid() },
        Watched { name: "daemon", letter: 'd', pid: node.daemon.pid() },
        Watched { name: "simulated cloud and network", letter: '~', pid: std::process::id() },
    ];
    let watch = Watch::start(&watched);
    let begun = Instant::now();
    let (socket, image) = (containerd.socket(), format!("{DOMAIN}/{repository}:v1"));
    let pulled = pull_image_as(login, &socket, &image);
    let (pulled, unpack) = tokio::join!(async { (pulled.await, begun.elapsed()) }, unpacking(&containerd, begun));
    profile.add(&watched, watch.stop().await);
    let (result, whole) = pulled;
    result.unwrap_or_else(|error| panic!("{error}\n{}", containerd.log()));
    let asked = [Service::Realm, Service::Registry, Service::Oss].map(|service| node.cloud.journal().count(service));
    let connections = node.cloud.journal().connections(Service::Oss);
    eprintln!(
        "unpacking after {unpack:.2?}, whole {whole:.2?}; the cloud was asked {asked:?} times \
         (realm, registry, bucket), over {connections} connections to the bucket"
    );
    Times { begun, unpack, whole }
}

/// Tells when the cloud was asked for what.
fn timeline(node: &Node, begun: Instant) {
    for entry in node.cloud.journal().entries() {
        let at = entry.arrived.saturating_duration_since(begun).as_millis();
        let (service, range) = (entry.service, entry.range.unwrap_or_default());
        let what: String = entry.path.chars().rev().take(TOLD).collect::<Vec<_>>().into_iter().rev().collect();
        eprintln!("  {at:5} ms {service:?} {} ..{what} {range} connection {}", entry.method, entry.connection);
    }
}

/// When the first unpacked file is seen.
async fn unpacking(containerd: &Containerd, begun: Instant) -> Duration {
    let root = containerd.certs_dir().with_file_name("root");
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        // Where a layer is unpacked to depends on the snapshotter: overlayfs has a directory more.
        let overlay = first_file(&root.join("io.containerd.snapshotter.v1.overlayfs/snapshots"), Some("fs"));
        if overlay || first_file(&root.join("io.containerd.snapshotter.v1.native/snapshots"), None) {
            return begun.elapsed();
        }
    }
}

fn first_file(snapshots: &Path, inner: Option<&str>) -> bool {
    let entries = std::fs::read_dir(snapshots).into_iter().flatten().flatten();
    entries.map(|entry| inner.map_or_else(|| entry.path(), |inner| entry.path().join(inner))).any(|layer| {
        // A snapshot that is gone by now holds nothing either.
        std::fs::read_dir(layer).is_ok_and(|mut files| files.next().is_some())
    })
}
