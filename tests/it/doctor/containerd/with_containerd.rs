//! The containerd that runs, of which only it knows when it read its files.

use std::fs;

use cloudsim::Method;

use super::super::{find, findings, node};
use super::text;
use crate::support::containerd::Containerd;
use crate::support::{LIMIT, POLL};

/// Check 17 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_it_has_not_read_is_told() {
    let node = node(Method::Rrsa).await;
    let containerd = Containerd::start().await;
    let file = containerd.config_file();
    let arguments = ["--containerd-config", file.to_str().unwrap()];
    let (_, found) = findings(&node, &arguments).await;
    let seen = find(&found, "containerd");
    assert_eq!(seen["outcome"], "ok", "{seen}");
    let text_before = fs::read_to_string(&file).unwrap();
    let newer = async {
        // A second after its start at the latest, which is as exact as that is known.
        loop {
            fs::write(&file, &text_before).unwrap();
            let (_, found) = findings(&node, &arguments).await;
            let warned =
                found.iter().find(|finding| finding["step"] == "containerd" && finding["outcome"] == "warning");
            if let Some(warned) = warned {
                return warned.clone();
            }
            tokio::time::sleep(POLL).await;
        }
    };
    let warned = tokio::time::timeout(LIMIT, newer).await.expect("a warning");
    assert!(text(&warned, "text").contains("newer than the containerd that runs"), "{warned}");
    assert!(text(&warned, "fix").starts_with("restart containerd"), "{warned}");
    node.finish().await;
}
