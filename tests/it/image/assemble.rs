//! An OCI image by the last stage of the Dockerfile, for machines without a container engine.
//!
//! Knows the instructions that this stage uses, and fails at any other, so that what is tested is what is built.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cloudsim::image::Layer;
use serde_json::{Value, json};

use super::{sha256, source_of};

/// The last stage.
#[derive(Debug, Default)]
struct Stage {
    copies: Vec<(String, String)>,
    labels: BTreeMap<String, String>,
    user: String,
    entrypoint: Vec<String>,
    command: Vec<String>,
}

/// A built image.
#[derive(Debug)]
pub(super) struct Assembled {
    /// The digest of its manifest.
    pub(super) digest: String,
    /// The bytes of its layers as they are sent.
    pub(super) size: usize,
}

impl Stage {
    fn of(dockerfile: &str) -> Self {
        let dockerfile = dockerfile.replace("\\\n", " ");
        let (_, last) = dockerfile.rsplit_once("\nFROM ").expect("a stage");
        let mut lines = last.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(lines.next(), Some("scratch"), "the base of the last stage");
        let mut stage = Self::default();
        for line in lines {
            let (instruction, rest) = line.split_once(' ').expect("an instruction");
            match instruction {
                "ARG" => {}
                "COPY" => {
                    let words: Vec<_> = rest.strip_prefix("--from=build ").expect("a copy").split(' ').collect();
                    let [from, to] = words[..] else { panic!("{line}") };
                    stage.copies.push((from.to_owned(), to.to_owned()));
                }
                "LABEL" => {
                    for label in rest.split("org.opencontainers.").skip(1) {
                        let (name, value) = label.trim().split_once('=').expect("a label");
                        stage.labels.insert(format!("org.opencontainers.{name}"), value.trim_matches('"').to_owned());
                    }
                }
                "USER" => rest.clone_into(&mut stage.user),
                "ENTRYPOINT" => stage.entrypoint = serde_json::from_str(rest).expect("a list"),
                "CMD" => stage.command = serde_json::from_str(rest).expect("a list"),
                other => panic!("the last stage uses {other} now"),
            }
        }
        stage
    }
}

/// Builds the image as an archive in the OCI layout (image specification, image-layout.md), named `name`.
pub(super) fn assemble(name: &str, archive: &Path) -> Assembled {
    let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let stage = Stage::of(&fs::read_to_string(dockerfile).expect("Dockerfile"));
    let layers: Vec<Layer> = stage.copies.iter().map(|(from, to)| layer(from, to)).collect();
    let layout = tempfile::tempdir().expect("a directory for the layout");
    let blobs = layout.path().join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("blobs");
    let store = |media_type: &str, bytes: &[u8]| {
        let digest = sha256(bytes);
        fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes).expect("a blob");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "User": stage.user,
            "Entrypoint": stage.entrypoint,
            "Cmd": stage.command,
            "Labels": stage.labels,
        },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>() },
    });
    let described: Vec<Value> =
        layers.iter().map(|layer| store("application/vnd.oci.image.layer.v1.tar+gzip", &layer.bytes)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": store("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
        "layers": described,
    });
    let mut root = store("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    let digest = root["digest"].as_str().expect("a digest").to_owned();
    root["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [root] });
    fs::write(layout.path().join("index.json"), index.to_string()).expect("index.json");
    fs::write(layout.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
    let packed = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(layout.path()).arg(".").status();
    assert!(packed.expect("tar").success());
    Assembled { digest, size: layers.iter().map(|layer| layer.bytes.len()).sum() }
}

/// The layer that one COPY makes.
fn layer(from: &str, to: &str) -> Layer {
    let content = fs::read(source_of(from)).unwrap_or_else(|error| panic!("{from}: {error}; run tests/image/build"));
    let to = to.trim_start_matches('/');
    let mut layer = Layer::builder();
    for (end, _) in to.match_indices('/') {
        layer = layer.directory(to.get(..end).expect("a boundary"));
    }
    let mode = if to == "acr-pull-proxy" { 0o755 } else { 0o644 };
    layer.file(to, mode, &content).build()
}
