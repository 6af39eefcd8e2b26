//! What a pull costs the daemon as instances and repositories grow: processor time of one request.

use std::net::SocketAddr;

use cloudsim::CloudSim;
use cloudsim::image::{Image, ImageBuilder, Layer};
use cloudsim::pace::Pace;
use cloudsim::ram::{Instance, setup};
use tokio::net::TcpStream;

use crate::node::Node;
use crate::support::{DOMAIN, Reader, drained, processor_seconds};
use crate::table::{Bar, Row};

const REPOSITORY: &str = "team/growth";

/// Instances, many.
const INSTANCES: usize = 200;

/// Repositories of one instance, in the end.
const REPOSITORIES: usize = 10_000;

/// Warm requests of one measurement: a second of processor time or so, which the kernel counts in hundredths.
const REQUESTS: usize = 20_000;

/// Requests on one connection: fewer than the daemon closes one after.
const ON_ONE_CONNECTION: usize = 500;

/// Repositories that are pulled for the first time in one measurement.
const NEW: usize = 1_000;

/// What counts as flat: the accounting is no finer, and the simulated cloud shares the caches of the processor.
const FLAT: f64 = 1.15;

/// Asks the daemon with few and with many.
pub(crate) async fn measure(runs: usize) -> Vec<Row> {
    let image = ImageBuilder::new().single_platform().layers([Layer::random(1024, 1)]).build();
    let mut rows = vec![instances(runs, &image).await];
    rows.extend(repositories(runs, &image).await);
    rows
}

/// A daemon, and what it is asked for.
struct Asked {
    node: Node,
    paths: Vec<String>,
}

/// One instance with as many manifests as two hundred have, so that only the instances differ.
async fn instances(runs: usize, image: &Image) -> Row {
    let repositories: Vec<_> = (0..INSTANCES).map(|number| format!("{REPOSITORY}-{number}")).collect();
    let one = asked(&[DOMAIN.to_owned()], &repositories, image).await;
    let many = asked(&domains(), &repositories[..1], image).await;
    let (mut with_one, mut with_many) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        with_one.push(ask(&one.node, &one.paths, REQUESTS, image).await);
        with_many.push(ask(&many.node, &many.paths, REQUESTS, image).await);
    }
    eprintln!("a warm manifest: {with_one:.1?} us with 1 instance, {with_many:.1?} us with {INSTANCES}");
    let what =
        format!("processor time of a warm manifest by digest, {INSTANCES} of them, each of its own instance, us");
    Row::of_runs(what, &with_many, &[("all of 1 instance", with_one)], Bar::AtMost(FLAT))
}

/// The domains of that many instances.
fn domains() -> Vec<String> {
    let others = (1..INSTANCES).map(|number| instance(number).vpc_domain());
    std::iter::once(DOMAIN.to_owned()).chain(others).collect()
}

fn instance(number: usize) -> Instance {
    Instance::new(&format!("cri-growth{number:010}"), &format!("growth-{number}"), setup::REGION, setup::ACCOUNT_B)
}

/// A daemon that has been asked once for the manifest in each repository of each domain.
async fn asked(domains: &[String], repositories: &[String], image: &Image) -> Asked {
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    (1..domains.len()).for_each(|number| cloud.add_instance(instance(number)));
    let everywhere = domains.iter().flat_map(|domain| repositories.iter().map(move |repository| (domain, repository)));
    let mut paths = Vec::new();
    for (domain, repository) in everywhere {
        cloud.push(domain, repository, "v1", image).expect("pushed");
        paths.push(format!("/v2/{repository}/manifests/{}?ns={domain}", image.digest));
    }
    let node = Node::around(cloud, Pace::default(), |config| config).await;
    ask(&node, &paths, paths.len(), image).await;
    Asked { node, paths }
}

/// Two daemons: one knows a repository, and the other all; a first pull among the first, and among the last.
async fn repositories(runs: usize, image: &Image) -> [Row; 2] {
    let repositories: Vec<_> = (0..REPOSITORIES).map(|number| format!("{REPOSITORY}-{number}")).collect();
    let one = asked(&[DOMAIN.to_owned()], &repositories[..1], image).await;
    let all = asked(&[DOMAIN.to_owned()], &repositories[..1], image).await;
    for repository in &repositories[1..] {
        all.node.cloud.push(setup::INSTANCE, repository, "v1", image).expect("pushed");
    }
    let path = |repository: &String| format!("/v2/{repository}/manifests/v1?ns={DOMAIN}");
    let by_tag: Vec<_> = repositories.iter().map(path).collect();
    let mut new = Vec::new();
    // The first group and the last are what is compared; those between make them far apart.
    for group in by_tag.chunks(NEW) {
        new.push(ask(&all.node, group, NEW, image).await);
    }
    let (mut with_one, mut with_all) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        with_one.push(ask(&one.node, &one.paths, REQUESTS, image).await);
        with_all.push(ask(&all.node, &all.paths, REQUESTS, image).await);
    }
    eprintln!(
        "a warm manifest: {with_one:.1?} us with 1 repository known, {with_all:.1?} us with {REPOSITORIES}; \
         first pulls {new:.0?} us"
    );
    let warm = format!("processor time of a warm manifest by digest, {REPOSITORIES} repositories known, us");
    let first = format!("processor time of a first pull from a repository, the last {NEW} of {REPOSITORIES}, us");
    [
        Row::of_runs(warm, &with_all, &[("1 repository known", with_one)], Bar::AtMost(FLAT)),
        Row::over(first, new[new.len() - 1], vec![("the first of them", new[0])], Bar::AtMost(FLAT)),
    ]
}

/// Asks for `count` manifests, going round the paths on one connection; microseconds of processor time for each.
async fn ask(node: &Node, paths: &[String], count: usize, image: &Image) -> f64 {
    let listen: SocketAddr = node.daemon.listen;
    let length = image.manifests[0].1.bytes.len();
    let before = processor_seconds(node.daemon.pid());
    let mut paths = paths.iter().cycle().take(count).peekable();
    while paths.peek().is_some() {
        let mut tcp = TcpStream::connect(listen).await.expect("the daemon listens");
        for path in paths.by_ref().take(ON_ONE_CONNECTION) {
            drained(&mut tcp, ("bench", path), length, Reader::Discarding).await;
        }
    }
    (processor_seconds(node.daemon.pid()) - before) * 1e6 / count as f64
}
