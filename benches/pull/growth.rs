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

/// Instances, few and many.
const INSTANCES: [usize; 2] = [1, 200];

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
pub(crate) async fn measure() -> Vec<Row> {
    let image = ImageBuilder::new().single_platform().layers([Layer::random(1024, 1)]).build();
    let mut instances = Vec::new();
    for count in INSTANCES {
        instances.push(with_instances(count, &image).await);
    }
    let mut repositories = with_repositories(&image).await;
    let warm = |what: &str, figures: &[f64]| {
        let what = format!("processor time of a warm manifest by digest, {what}, us");
        Row::over(what, figures[1], vec![("with 1", figures[0])], Bar::AtMost(FLAT))
    };
    let new = repositories.split_off(2);
    vec![
        warm("200 instances", &instances),
        warm("10,000 repositories", &repositories),
        Row::over(
            "processor time of a first pull from a repository, the last 1,000 of 10,000, us",
            new[1],
            vec![("the first 1,000", new[0])],
            Bar::AtMost(FLAT),
        ),
    ]
}

/// Microseconds of a warm request while the daemon serves so many instances, and each of them is asked.
async fn with_instances(count: usize, image: &Image) -> f64 {
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    let mut domains = vec![DOMAIN.to_owned()];
    for number in 1..count {
        let id = format!("cri-growth{number:010}");
        let instance = Instance::new(&id, &format!("growth-{number}"), setup::REGION, setup::ACCOUNT_B);
        domains.push(instance.vpc_domain());
        cloud.add_instance(instance);
    }
    for domain in &domains {
        cloud.push(domain, REPOSITORY, "v1", image).expect("pushed");
    }
    let node = Node::around(cloud, Pace::default(), |config| config).await;
    let paths: Vec<_> =
        domains.iter().map(|domain| format!("/v2/{REPOSITORY}/manifests/{}?ns={domain}", image.digest)).collect();
    ask(&node, &paths, paths.len(), image).await;
    let cost = ask(&node, &paths, REQUESTS, image).await;
    eprintln!("{count} instances: {cost:.1} us for a warm manifest");
    cost
}

/// Microseconds: a warm request with one repository known, with all; a first pull among the first, among the last.
async fn with_repositories(image: &Image) -> Vec<f64> {
    let cloud = CloudSim::start().await.expect("the simulated cloud");
    let many = REPOSITORIES;
    let repositories: Vec<_> = (0..many).map(|number| format!("team/growth-{number}")).collect();
    for repository in &repositories {
        cloud.push(setup::INSTANCE, repository, "v1", image).expect("pushed");
    }
    let node = Node::around(cloud, Pace::default(), |config| config).await;
    let path = |repository: &String, reference: &str| format!("/v2/{repository}/manifests/{reference}?ns={DOMAIN}");
    let by_tag: Vec<_> = repositories.iter().map(|repository| path(repository, "v1")).collect();
    let warm = [path(&repositories[0], &image.digest)];
    ask(&node, &warm, 1, image).await;
    let one = ask(&node, &warm, REQUESTS, image).await;
    let first = ask(&node, &by_tag[..NEW], NEW, image).await;
    ask(&node, &by_tag[NEW..many - NEW], many - 2 * NEW, image).await;
    let last = ask(&node, &by_tag[many - NEW..], NEW, image).await;
    let all = ask(&node, &warm, REQUESTS, image).await;
    eprintln!("{many} repositories: warm {one:.1} us, then {all:.1} us; new {first:.0} us, then {last:.0} us");
    vec![one, all, first, last]
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
