//! The first byte of a blob on a warm daemon that is far away from the registry, counted in round trips.

use std::time::Duration;

use cloudsim::CloudSim;
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::pace::Pace;
use cloudsim::ram::setup;
use tokio::net::TcpStream;

use crate::node::Node;
use crate::support::{DOMAIN, Reader, drained, median};
use crate::table::{Bar, Row};

const REPOSITORY: &str = "team/blobs";

/// Far away. No slow start: the first byte comes before it counts.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Blobs that are asked for; each is new once and known once.
const BLOBS: u64 = 12;

/// Too large to be fetched ahead or kept.
const BLOB: usize = 2 << 20;

/// What may be more than whole trips: the grain of two timers, and the work at both ends. Far less than another trip.
const GRAIN: f64 = 0.2;

/// Asks for blobs nobody announced, each twice.
pub(crate) async fn measure() -> Vec<Row> {
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    let image = image();
    cloud.push(setup::INSTANCE, REPOSITORY, "v1", &image).expect("pushed");
    let node = Node::around(cloud, Pace::round_trip(ROUND_TRIP), |config| config).await;
    let mut tcp = TcpStream::connect(node.daemon.listen).await.expect("the daemon listens");
    let (mut unknown, mut known) = (Vec::new(), Vec::new());
    for layer in &image.layers {
        let length = image.blobs.iter().find(|(digest, _)| digest == layer).map_or(0, |(_, bytes)| bytes.len());
        let path = format!("/v2/{REPOSITORY}/blobs/{layer}?ns={DOMAIN}");
        for trips in [&mut unknown, &mut known] {
            let drained = drained(&mut tcp, ("bench", &path), length, Reader::Discarding).await;
            trips.push(drained.first_byte.as_secs_f64() / ROUND_TRIP.as_secs_f64());
        }
    }
    eprintln!("round trips: URL not known {unknown:.2?}, known {known:.2?}");
    // The repository's own bearer is fetched once; from then on it is at hand.
    let row = |what: &str, trips: Vec<f64>, bar: f64| {
        let what = format!("first byte of a blob at 50 ms, warm, {what}, round trips");
        Row::alone(what, median(trips), Bar::AtMost(bar + GRAIN))
    };
    vec![row("URL known", known, 1.0), row("URL not known", unknown, 2.0)]
}

fn image() -> Image {
    ImageBuilder::new().layers((0..BLOBS).map(|number| Layer::random(BLOB, number))).build()
}
