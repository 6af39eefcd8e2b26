//! The soak with a real containerd among the clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use cloudsim::CloudSim;
use cloudsim::image::Image;
use cloudsim::ram::setup;
use tokio::time::{Instant, sleep, timeout};

use super::record::Record;
use super::site::Site;
use super::{PAUSE_AFTER_FAILURE, soak};
use crate::support::containerd::Containerd;
use crate::support::cri;

/// Images that are pulled in turn, and the size of each of their layers: several parts each, and more layers than
/// containerd asks for at once.
const IMAGES: u64 = 4;
const LAYERS: usize = 5;
const LAYER: usize = 5_000_000;

/// How long a pull may take; every request of it is answered or cut by the daemon within 25 s.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) const CLIENT: &str = "containerd";

/// Pulls images of its own through the CRI, from one daemon and from the other, and looks at every file that was stored.
#[derive(Debug)]
pub(super) struct Puller {
    containerd: Containerd,
    /// The domain that leads to each daemon, with the daemon's name.
    routes: [(String, &'static str); 2],
    images: Vec<(String, Image)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_image_is_whole_through_every_fault_there_is() {
    soak(true).await;
}

impl Puller {
    pub(super) async fn start(cloud: &CloudSim, sites: &[Site; 2]) -> Self {
        let images =
            (0..IMAGES).map(|number| (format!("soak/image-{number}"), Image::random(LAYERS, LAYER, 100 + number)));
        let images: Vec<_> = images.collect();
        for (repository, image) in &images {
            cloud.push(setup::INSTANCE, repository, "v1", image).expect("pushed");
        }
        let instance = cloud.directory().instances().into_iter().find(|instance| instance.id == setup::INSTANCE);
        let instance = instance.expect("the instance of account B");
        let routes = [(instance.vpc_domain(), sites[0].name), (instance.internet_domain(), sites[1].name)];
        let containerd = Containerd::start().await;
        for ((domain, _), site) in routes.iter().zip(sites) {
            containerd.send_pulls_to(domain, &format!("http://{}", site.address()));
        }
        Self { containerd, routes, images }
    }

    /// Pulls until `ended`, each time without anything of the image in the store.
    pub(super) async fn run(self, record: Record, ended: Arc<AtomicBool>) {
        let mut turn = 0;
        while !ended.load(Ordering::SeqCst) {
            self.forget_everything().await;
            let (repository, image) = &self.images[turn % self.images.len()];
            // Each image comes from each daemon.
            let (domain, side) = &self.routes[turn / self.images.len() % 2];
            turn += 1;
            let name = format!("{domain}/{repository}:v1");
            let begun = Instant::now();
            let pulled = timeout(PATIENCE, cri::pull_image(&self.containerd.socket(), &name)).await;
            let pulled = pulled.unwrap_or_else(|_| Err(format!("not over after {PATIENCE:?}")));
            match pulled {
                Ok(_) => match self.wrong_content(image) {
                    None => record.pulled(CLIENT, side, image.size(), 0),
                    Some(what) => record.failed(CLIENT, side, begun, what, true),
                },
                Err(what) => {
                    // What containerd says of whole content that is not what was asked for.
                    let wrong = ["unexpected commit digest", "unexpected commit size", "failed size validation"];
                    let wrong = wrong.iter().any(|words| what.contains(words));
                    record.failed(CLIENT, side, begun, format!("{name}: {what}"), wrong);
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Hashes every blob in the content store; says what is wrong or missing.
    fn wrong_content(&self, image: &Image) -> Option<String> {
        let store = self.store();
        let missing = image.layers.iter().find(|layer| !store.join(hex_of(layer)).is_file());
        if let Some(missing) = missing {
            return Some(format!("{missing} is not in the store"));
        }
        fs::read_dir(store).expect("the content store").find_map(|entry| {
            let path = entry.expect("an entry").path();
            let wanted = path.file_name().and_then(|name| name.to_str()).expect("a digest").to_owned();
            let found = sha256_of(&path);
            (found != wanted).then(|| format!("sha256:{wanted} is stored with the content of {found}"))
        })
    }

    fn store(&self) -> PathBuf {
        self.containerd.root().join("io.containerd.content.v1.content/blobs/sha256")
    }

    /// Takes every image away, and waits for containerd to collect what they were made of.
    async fn forget_everything(&self) {
        let listed = self.containerd.ctr(&["--namespace", "k8s.io", "images", "ls", "-q"]).await;
        let names = String::from_utf8(listed.stdout).expect("names");
        let names: Vec<&str> = names.lines().collect();
        if names.is_empty() {
            // What a failed pull has left goes with the end of a lease, as with that of an image.
            self.containerd.ctr(&["--namespace", "k8s.io", "leases", "create", "--id", "soak"]).await;
            self.containerd.ctr(&["--namespace", "k8s.io", "leases", "delete", "--sync", "soak"]).await;
        } else {
            let arguments = [&["--namespace", "k8s.io", "images", "rm", "--sync"][..], &names].concat();
            self.containerd.ctr(&arguments).await;
        }
        let image = self.images.iter().flat_map(|(_, image)| &image.layers);
        let kept = image.filter(|layer| self.store().join(hex_of(layer)).exists()).collect::<Vec<_>>();
        assert!(kept.is_empty(), "containerd has kept {kept:?}: a pull would find them");
    }
}

fn hex_of(digest: &str) -> &str {
    digest.strip_prefix("sha256:").expect("a sha256 digest")
}

fn sha256_of(path: &Path) -> String {
    let bytes = fs::read(path).expect("a blob");
    let digest = digest::digest(&digest::SHA256, &bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
