//! Images to pull: real ones made of a static binary, and large ones of bytes that do not compress.
//!
//! Everything is deterministic: the same calls give the same digests. An image is only data; it enters an instance with
//! [`CloudSim::push`](crate::CloudSim::push), which shares its memory.

mod layer;

use std::io;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};

pub use layer::Layer;

use crate::hash::sha256;
use crate::store::Manifest;

/// Links that a busybox binary answers to in a runnable image.
const APPLETS: [&str; 12] = ["cat", "date", "echo", "env", "id", "ls", "ps", "sh", "sleep", "true", "uname", "wget"];

/// Where a static busybox lies on Debian (package `busybox-static`).
const BUSYBOX: &str = "/bin/busybox";

/// Which family of media types an image speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OCI image specification 1.1.
    Oci,
    /// Docker image manifest version 2, schema 2.
    Docker,
}

struct MediaTypes {
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

impl Format {
    fn media_types(self) -> MediaTypes {
        match self {
            Self::Oci => MediaTypes {
                index: "application/vnd.oci.image.index.v1+json",
                manifest: "application/vnd.oci.image.manifest.v1+json",
                config: "application/vnd.oci.image.config.v1+json",
                layer: "application/vnd.oci.image.layer.v1.tar+gzip",
            },
            Self::Docker => MediaTypes {
                index: "application/vnd.docker.distribution.manifest.list.v2+json",
                manifest: "application/vnd.docker.distribution.manifest.v2+json",
                config: "application/vnd.docker.container.image.v1+json",
                layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
            },
        }
    }
}

/// A whole image: an index or a single manifest, and everything below it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the index, or of the manifest where there is no index.
    pub digest: String,
    /// Every manifest with its digest, the root last.
    pub manifests: Vec<(String, Manifest)>,
    /// Every blob with its digest: configs and layers.
    pub blobs: Vec<(String, Bytes)>,
    /// Digests of the layers, lowest first.
    pub layers: Vec<String>,
}

impl Image {
    /// An image of `layers` layers with `bytes` incompressible bytes each, for `linux/amd64` and `linux/arm64`.
    #[must_use]
    pub fn random(layers: usize, bytes: usize, seed: u64) -> Self {
        let each =
            (0..layers as u64).map(|number| Layer::random(bytes, seed.wrapping_mul(1_000_003).wrapping_add(number)));
        ImageBuilder::new().layers(each).build()
    }

    /// An image that runs: the static binary at `binary` as `/bin/busybox` with links to the usual applets, and a greeting in
    /// a second layer. Its command prints the greeting.
    ///
    /// # Errors
    /// Where the binary cannot be read.
    pub fn runnable(binary: &Path) -> io::Result<Self> {
        let program = std::fs::read(binary)?;
        let mut base =
            Layer::builder().directory("bin").directory("etc").directory("tmp").file("bin/busybox", 0o755, &program);
        for applet in APPLETS {
            base = base.link(&format!("bin/{applet}"), "busybox");
        }
        let base = base.file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n").build();
        let greeting = Layer::builder().file("hello", 0o644, b"hello from account B\n").build();
        Ok(ImageBuilder::new().layers([base, greeting]).command(&["/bin/cat", "/hello"]).build())
    }

    /// [`Image::runnable`] with this machine's own static busybox; `None` where there is none.
    #[must_use]
    pub fn busybox() -> Option<Self> {
        Self::runnable(Path::new(BUSYBOX)).ok()
    }

    /// Bytes of all blobs together.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

/// Puts an image together.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    layers: Vec<Layer>,
    architectures: Vec<&'static str>,
    indexed: bool,
    format: Format,
    command: Vec<String>,
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ImageBuilder {
    /// An OCI image with an index for `linux/amd64` and `linux/arm64`, without layers yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            layers: Vec::new(),
            architectures: vec!["amd64", "arm64"],
            indexed: true,
            format: Format::Oci,
            command: vec!["/bin/sh".to_owned()],
        }
    }

    /// Adds layers on top.
    #[must_use]
    pub fn layers(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// Speaks the media types of this family.
    #[must_use]
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Leaves the index out: one manifest, for this machine's architecture.
    #[must_use]
    pub fn single_platform(self) -> Self {
        let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
        Self { indexed: false, architectures: vec![architecture], ..self }
    }

    /// The command a container runs.
    #[must_use]
    pub fn command(self, command: &[&str]) -> Self {
        Self { command: command.iter().map(|&word| word.to_owned()).collect(), ..self }
    }

    /// The image.
    #[must_use]
    pub fn build(self) -> Image {
        let types = self.format.media_types();
        let mut blobs: Vec<(String, Bytes)> =
            self.layers.iter().map(|layer| (layer.digest.clone(), layer.bytes.clone())).collect();
        let layers = blobs.iter().map(|(digest, _)| digest.clone()).collect();
        let mut manifests = Vec::new();
        let mut descriptors = Vec::new();
        for architecture in &self.architectures {
            let config = Bytes::from(self.config(architecture).to_string());
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": types.manifest,
                "config": descriptor(types.config, &config),
                "layers": self.layers.iter().map(|layer| descriptor(types.layer, &layer.bytes)).collect::<Vec<_>>(),
            });
            blobs.push((sha256(&config), config));
            let (digest, manifest) = stored(types.manifest, &manifest);
            let mut listed = descriptor(types.manifest, &manifest.bytes);
            listed["platform"] = json!({ "architecture": architecture, "os": "linux" });
            descriptors.push(listed);
            manifests.push((digest, manifest));
        }
        if self.indexed {
            let index = json!({ "schemaVersion": 2, "mediaType": types.index, "manifests": descriptors });
            manifests.push(stored(types.index, &index));
        }
        let digest = manifests.last().map(|(digest, _)| digest.clone()).unwrap_or_default();
        Image { digest, manifests, blobs, layers }
    }

    fn config(&self, architecture: &str) -> Value {
        json!({
            "architecture": architecture,
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "config": { "Env": ["PATH=/bin"], "Cmd": self.command },
            "rootfs": {
                "type": "layers",
                "diff_ids": self.layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>(),
            },
        })
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes), "size": bytes.len() })
}

fn stored(media_type: &str, content: &Value) -> (String, Manifest) {
    let bytes = Bytes::from(content.to_string());
    (sha256(&bytes), Manifest { media_type: media_type.to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_bytes_and_repeat() {
        let image = Image::random(3, 10_000, 7);
        assert_eq!(image.digest, Image::random(3, 10_000, 7).digest);
        assert_ne!(image.digest, Image::random(3, 10_000, 8).digest);
        assert_eq!((image.layers.len(), image.manifests.len(), image.blobs.len()), (3, 3, 5));
        for (digest, bytes) in &image.blobs {
            assert_eq!(*digest, sha256(bytes));
        }
        assert!(image.size() > 30_000, "the content must not compress");
    }

    #[test]
    fn a_layer_unpacks_to_its_files_and_hashes_to_its_diff_id() {
        use std::io::Read as _;
        let layer = Layer::builder().directory("bin").file("bin/app", 0o755, b"program").link("bin/sh", "app").build();
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(&layer.bytes[..]).read_to_end(&mut archive).unwrap();
        assert_eq!(layer.diff_id, sha256(&archive));
        let mut archive = tar::Archive::new(&archive[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let link = entry.link_name().unwrap().map(|target| target.display().to_string());
            (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), link)
        });
        let wanted = [("bin", 0o755, None), ("bin/app", 0o755, None), ("bin/sh", 0o777, Some("app".to_owned()))];
        assert_eq!(entries.collect::<Vec<_>>(), wanted.map(|(path, mode, link)| (path.to_owned(), mode, link)));
    }

    #[test]
    fn a_docker_image_speaks_docker_types_throughout() {
        let image = ImageBuilder::new().layers([Layer::random(10, 1)]).format(Format::Docker).single_platform().build();
        let [(_, manifest)] = image.manifests.as_slice() else { panic!("one manifest, no index") };
        let parsed: Value = serde_json::from_slice(&manifest.bytes).unwrap();
        assert_eq!(parsed["mediaType"], manifest.media_type);
        assert_eq!(parsed["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
        assert_eq!(parsed["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    }
}
