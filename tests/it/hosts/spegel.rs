//! Beside Spegel: its entry and ours in one file, in whatever order both come and go.
//!
//! Spegel's part is played by what its source does with the directory (spegel-org/spegel, `pkg/oci/containerd/mirror.go`).

use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};

use super::with_containerd::{OTHERS, Other, Site};
use super::{ADMIN, Place, json};
use crate::readme::blocks;
use crate::support::DOMAIN;
use crate::support::node::requests;

/// Where Spegel listens: the address of the node, at the port of its service.
const PEERS: &str = "http://192.168.1.7:30020";
const OURS: &str = "http://127.0.0.1:7080";

/// Spegel on a node, with the settings of its chart.
struct Spegel<'a> {
    certs_dir: &'a Path,
    /// Where it listens.
    peers: &'a str,
    /// `spegel.prependExisting`.
    prepend: bool,
}

impl Spegel<'_> {
    /// What the init container does at each start of the pod.
    fn start(&self) {
        let backup = self.certs_dir.join("_backup");
        if !backup.exists() {
            let found = self.entries();
            fs::create_dir(&backup).unwrap();
            for path in found {
                fs::rename(&path, backup.join(path.file_name().unwrap())).unwrap();
            }
        }
        self.clear();
        let mut text = format!("server = 'https://{DOMAIN}'\n\n{}", self.host());
        let kept = fs::read_to_string(backup.join(DOMAIN).join("hosts.toml")).unwrap_or_default();
        if self.prepend && kept.contains("[host.") {
            text = format!("{text}\n\n{}", without_comments(&kept));
        }
        fs::create_dir(self.certs_dir.join(DOMAIN)).unwrap();
        fs::write(self.file(), text).unwrap();
    }

    /// What its removal does.
    fn remove(&self) {
        let backup = self.certs_dir.join("_backup");
        self.clear();
        for entry in fs::read_dir(&backup).unwrap() {
            let path = entry.unwrap().path();
            fs::rename(&path, self.certs_dir.join(path.file_name().unwrap())).unwrap();
        }
        fs::remove_dir(backup).unwrap();
    }

    fn host(&self) -> String {
        format!("[host.'{}']\ncapabilities = ['pull', 'resolve']\ndial_timeout = '200ms'", self.peers)
    }

    fn file(&self) -> PathBuf {
        self.certs_dir.join(DOMAIN).join("hosts.toml")
    }

    /// The URLs of the hosts that containerd asks, in its order.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        let hosts = text.lines().filter_map(|line| line.trim().strip_prefix("[host.")?.strip_suffix(']'));
        hosts.map(|host| host.trim_matches(['\'', '"']).to_owned()).collect()
    }

    fn entries(&self) -> Vec<PathBuf> {
        fs::read_dir(self.certs_dir).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn clear(&self) {
        for path in self.entries().into_iter().filter(|path| !path.ends_with("_backup")) {
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
    }
}

/// The hosts of a file as Spegel's TOML library prints them.
fn without_comments(text: &str) -> String {
    let document: DocumentMut = text.parse().unwrap();
    let hosts = document["host"].as_table().unwrap().iter().map(|(name, item)| {
        let keys = item.as_table().unwrap().iter().map(|(key, item)| match item {
            Item::Value(Value::Array(values)) => {
                let values: Vec<_> = values.iter().map(|value| format!("'{}'", value.as_str().unwrap())).collect();
                format!("{key} = [{}]\n", values.join(", "))
            }
            item => format!("{key} = '{}'\n", item.as_str().unwrap()),
        });
        format!("[host.'{name}']\n{}", keys.collect::<String>())
    });
    hosts.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[test]
fn in_either_order_ours_is_asked_behind_spegels_and_each_goes_without_the_other() {
    for (ours_first, spegel_goes_first, admin) in
        [(true, true, false), (true, false, true), (false, true, true), (false, false, false)]
    {
        let what = format!("ours first: {ours_first}, Spegel goes first: {spegel_goes_first}, of the admin: {admin}");
        let place = Place::serving(&[DOMAIN]);
        if admin {
            place.write(DOMAIN, ADMIN);
        }
        let before = place.files();
        let certs_dir = place.path("certs.d");
        let spegel = Spegel { certs_dir: &certs_dir, peers: PEERS, prepend: true };
        let caches: &[&str] = if admin { &["https://cache.example"] } else { &[] };
        if ours_first {
            place.done(&["install"]);
            spegel.start();
        } else {
            spegel.start();
            place.done(&["install"]);
        }
        for again in 0..3 {
            assert_eq!(spegel.asked(), [&[PEERS, OURS], caches].concat(), "{what}, start {again}");
            let status = json(&place.done(&["status", "--output", "json"]));
            assert_eq!(status["domains"][0]["state"], "ours", "{what}, start {again}");
            // Both start again now and then, in any order.
            match again {
                0 => drop(place.done(&["install"])),
                _ => spegel.start(),
            }
        }

        if !admin {
            // The page has a containerd that is given a limit on connecting.
            let text = fs::read_to_string(spegel.file()).unwrap();
            assert_eq!(format!("{text}\ndial_timeout = '1s'\n"), blocks::BESIDE_SPEGEL.text(), "{what}");
        }

        if spegel_goes_first {
            spegel.remove();
            assert_eq!(spegel.asked(), [&[OURS], caches].concat(), "{what}");
            place.done(&["uninstall"]);
        } else {
            place.done(&["uninstall"]);
            assert_eq!(spegel.asked(), [&[PEERS], caches].concat(), "{what}");
            let text = fs::read_to_string(spegel.file()).unwrap();
            assert!(text.starts_with(&format!("server = 'https://{DOMAIN}'\n\n{}", spegel.host())), "{what}: {text}");
            spegel.start();
            assert_eq!(spegel.asked(), [&[PEERS], caches].concat(), "{what}: it does not come back");
            spegel.remove();
        }
        assert_eq!(place.files(), before, "{what}");
    }
}

#[test]
fn without_prepend_existing_ours_is_away_until_it_is_installed_again() {
    let place = Place::serving(&[DOMAIN]);
    let certs_dir = place.path("certs.d");
    let spegel = Spegel { certs_dir: &certs_dir, peers: PEERS, prepend: false };
    place.done(&["install"]);
    spegel.start();
    assert_eq!(spegel.asked(), [PEERS]);
    let status = json(&place.done(&["status", "--output", "json"]));
    assert_eq!(status["domains"][0]["state"], "otherEntries", "{status}");
    place.done(&["install"]);
    assert_eq!(spegel.asked(), [PEERS, OURS]);
    spegel.remove();
    assert_eq!(spegel.asked(), [OURS]);
}

#[test]
fn a_copy_of_an_old_entry_gives_way_to_the_new_one() {
    let place = Place::serving(&[DOMAIN]);
    let certs_dir = place.path("certs.d");
    let spegel = Spegel { certs_dir: &certs_dir, peers: PEERS, prepend: true };
    place.done(&["install", "--listen", "127.0.0.1:7090"]);
    spegel.start();
    assert_eq!(spegel.asked(), [PEERS, "http://127.0.0.1:7090"]);
    place.done(&["install"]);
    assert_eq!(spegel.asked(), [PEERS, OURS]);
    spegel.start();
    assert_eq!(spegel.asked(), [PEERS, OURS]);
    place.done(&["uninstall"]);
    assert_eq!(spegel.asked(), [PEERS]);
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_asks_ours_where_the_peers_have_nothing() {
    let site = Site::start().await;
    // What Spegel answers where no node has the content, or its address is gone.
    let mut peers = Other::start(OTHERS[0].1).await;
    let certs_dir = site.containerd.certs_dir();
    let address = format!("http://{}", peers.address);
    let spegel = Spegel { certs_dir: &certs_dir, peers: &address, prepend: true };
    for step in ["ours before Spegel", "Spegel started again", "installed again"] {
        let asked = requests(&site.node.daemon).await;
        match step {
            "ours before Spegel" => {
                site.hosts(&["install"]);
                spegel.start();
            }
            "Spegel started again" => spegel.start(),
            _ => drop(site.hosts(&["install"])),
        }
        site.pull(step).await;
        let came = requests(&site.node.daemon).await - asked;
        assert!(came >= 5.0, "{step}: {came} requests: HEAD, manifest, config, three layers");
        assert!(peers.connections.try_recv().is_ok(), "{step}: the peers were not asked");
    }
    assert!(requests(&site.registry).await == 0.0);
}
