//! A changed file is seen, a bad one is reported, and the symlink swap of a mounted ConfigMap is a change.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::config::{Environment, Overlay, Watch};

const GOOD: &str = "instances: [{instanceId: cri-1, domains: a.example.com}]\n";
const OTHER: &str = "instances: [{instanceId: cri-2, domains: b.example.com}]\n";

fn watch(path: &Path) -> Watch {
    Watch::begin(path.to_path_buf(), Environment::default(), Overlay::default()).0
}

#[tokio::test(start_paused = true)]
async fn a_change_is_read_and_a_bad_one_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, GOOD).unwrap();
    let mut watch = watch(&path);

    std::fs::write(&path, "instances: 1\n").unwrap();
    assert!(watch.changed().await.is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(watch.changed().await.is_err());
    std::fs::write(&path, OTHER).unwrap();
    assert_eq!(watch.changed().await.unwrap().config.instances[0].id.as_str(), "cri-2");
}

#[tokio::test(start_paused = true)]
async fn the_swap_of_a_mounted_config_map_is_one_change() {
    let directory = tempfile::tempdir().unwrap();
    let write = |version: &str, id: &str| {
        let inner = directory.path().join(version);
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("acr-registry-info"), format!("- {{instanceId: {id}, domains: a.example.com}}"))
            .unwrap();
        let next = directory.path().join("..data_tmp");
        symlink(version, &next).unwrap();
        std::fs::rename(next, directory.path().join("..data")).unwrap();
    };
    write("..2026_01", "cri-1");
    symlink("..data/acr-registry-info", directory.path().join("acr-registry-info")).unwrap();
    let mut watch = watch(directory.path());

    write("..2026_02", "cri-2");
    assert_eq!(watch.changed().await.unwrap().config.instances[0].id.as_str(), "cri-2");
    // The same content under a new name is no change: nothing happens for an hour.
    write("..2026_03", "cri-2");
    let hour = std::time::Duration::from_hours(1);
    assert!(tokio::time::timeout(hour, watch.changed()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_reload_that_was_asked_for_reads_an_unchanged_file_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, GOOD).unwrap();
    assert_eq!(watch(&path).reload().unwrap().config.instances[0].id.as_str(), "cri-1");
}
