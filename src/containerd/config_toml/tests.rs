//! What containerd's configuration says, in each of its formats, and what is found wrong with it.

use std::path::{Path, PathBuf};

use super::Settings;
use crate::containerd::{Kind, Version};

fn settings(text: &str) -> Settings {
    let mut settings = Settings::default();
    settings.lay_over(text, Path::new("/etc/containerd/config.toml")).unwrap();
    settings
}

fn kinds(text: &str, version: &str) -> Vec<Kind> {
    settings(text).findings(Version::parse(version)).iter().map(|finding| finding.kind).collect()
}

#[test]
fn config_path_is_found_in_every_format() {
    for (header, section) in [
        ("", "plugins.cri.registry"),
        ("version = 2", "plugins.\"io.containerd.grpc.v1.cri\".registry"),
        ("version = 3", "plugins.'io.containerd.cri.v1.images'.registry"),
        ("version = 4", "plugins.'io.containerd.cri.v1.images'.registry"),
    ] {
        let settings = settings(&format!("{header}\n[{section}]\n  config_path = '/etc/containerd/cert.d'\n"));
        assert_eq!(settings.roots(), [PathBuf::from("/etc/containerd/cert.d")], "{header}");
        assert!(settings.findings(None).is_empty(), "{header}");
    }
    let old = "version = 3\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = '/x'\n";
    assert!(settings(old).roots().is_empty(), "version 3 does not read the old section");
}

/// Check 17 (`tests/it/peers.rs`).
#[test]
fn without_config_path_the_lines_to_paste_are_for_this_format() {
    let finding = |text: &str| settings(text).findings(None).remove(0);
    let old = finding("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"\"\n");
    assert_eq!(old.kind, Kind::NoConfigPath);
    assert!(old.fix.contains("[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = "), "{}", old.fix);
    assert!(!old.fix.contains("registry.mirrors"), "{}", old.fix);
    let new = finding("version = 3\n");
    assert!(new.fix.contains("[plugins.\"io.containerd.cri.v1.images\".registry]"), "{}", new.fix);
    let legacy = finding(
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = ['https://x']\n",
    );
    assert!(legacy.fix.contains("registry.mirrors"), "{}", legacy.fix);
}

/// Check 17 (`tests/it/peers.rs`).
#[test]
fn several_directories_are_refused_only_where_the_transfer_service_takes_them_for_one() {
    let v3 = |more: &str| {
        let path = "config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'";
        let images = "plugins.'io.containerd.cri.v1.images'";
        format!("version = 3\n[{images}]\n{more}\n[{images}.registry]\n{path}\n")
    };
    assert_eq!(kinds(&v3(""), "2.2.0"), [Kind::JoinedConfigPath]);
    assert_eq!(kinds(&v3(""), "unknown"), [Kind::JoinedConfigPath], "in doubt, it does not work");
    assert_eq!(kinds(&v3(""), "2.0.5"), [], "no transfer service in the CRI plugin yet");
    for local in [
        "use_local_image_pull = true",
        "discard_unpacked_layers = true",
        "disable_snapshot_annotations = false",
        "max_concurrent_downloads = 5",
        "image_pull_with_sync_fs = true",
    ] {
        assert_eq!(kinds(&v3(local), "2.1.9"), [], "{local}");
    }
    for transfer in [
        "use_local_image_pull = false",
        "discard_unpacked_layers = false",
        "disable_snapshot_annotations = true",
        "max_concurrent_downloads = 3",
    ] {
        assert_eq!(kinds(&v3(transfer), "2.1.9"), [Kind::JoinedConfigPath], "{transfer}");
    }
    let roots = settings(&v3("")).roots();
    assert_eq!(roots, [PathBuf::from("/etc/containerd/certs.d"), PathBuf::from("/etc/docker/certs.d")]);
}

/// Check 17 (`tests/it/peers.rs`).
#[test]
fn config_path_beside_what_it_replaces_is_refused() {
    let with = |more: &str| {
        format!(
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = '/c'\n\
             [plugins.\"io.containerd.grpc.v1.cri\".registry.{more}\n"
        )
    };
    assert_eq!(kinds(&with("mirrors.\"docker.io\"]\nendpoint = ['https://x']"), "1.7.24"), [Kind::LegacyRegistry]);
    assert_eq!(kinds(&with("configs.\"a\".tls]\nca_file = '/x'"), "1.7.24"), [Kind::LegacyRegistry]);
    assert_eq!(kinds(&with("configs.\"a\".auth]\nusername = 'x'"), "1.7.24"), [], "auth may stay");
    assert_eq!(kinds(&with("mirrors]"), "1.7.24"), [], "as 'containerd config default' prints it");
}

#[test]
fn a_containerd_without_cri_is_told_apart() {
    let text = "version = 2\ndisabled_plugins = [\"cri\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = '/c'";
    assert_eq!(kinds(text, "1.7.24"), [Kind::CriDisabled]);
}

#[test]
fn a_later_file_replaces_the_section_as_a_whole() {
    let mut settings = Settings::default();
    let section = "plugins.\"io.containerd.grpc.v1.cri\"";
    let first =
        format!("version = 2\nimports = ['conf.d/*.toml', '/x.toml']\n[{section}.registry]\nconfig_path = '/a'\n");
    let imports = settings.lay_over(&first, Path::new("/etc/containerd/config.toml")).unwrap();
    assert_eq!(imports, [PathBuf::from("/etc/containerd/conf.d/*.toml"), PathBuf::from("/x.toml")]);
    settings.lay_over(&format!("[{section}.registry]\nconfig_path = '/b'\n"), Path::new("/b.toml")).unwrap();
    assert_eq!(settings.roots(), [PathBuf::from("/b")]);
    settings.lay_over(&format!("version = 2\n[{section}]\nsandbox_image = 'x'\n"), Path::new("/c.toml")).unwrap();
    assert!(settings.roots().is_empty());
}

#[test]
fn without_config_path_a_new_containerd_has_two_directories_and_an_old_one_none() {
    let kinds = |text: &str, version: &str| {
        let version = Version::parse(version);
        settings(text).with_defaults(version).findings(version).iter().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    let mirrors =
        "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'a']\nendpoint = ['http://b']\n";
    let empty = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = ''\n";
    assert_eq!(kinds("version = 3\n", "2.1.9"), [Kind::NoConfigPath]);
    assert_eq!(kinds("version = 3\n", "2.2.0"), [Kind::JoinedConfigPath]);
    assert_eq!(kinds(mirrors, "2.2.0"), [Kind::NoConfigPath]);
    assert_eq!(kinds(empty, "2.2.0"), [Kind::NoConfigPath], "somebody said so");
    let unknown = settings("version = 3\n").with_defaults(None).findings(None).remove(0);
    assert!(unknown.text.contains("before 2.2") && unknown.text.contains("transfer service"), "{}", unknown.text);
}
