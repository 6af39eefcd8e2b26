//! What a manifest names, as far as a node that pulls it will ask for it next. Pure.
//!
//! Image spec v1.1, "Image Index" and "Image Manifest"; Docker's list and schema 2 have the same fields.

use serde::Deserialize;

use crate::oci::Digest;

/// The largest size that is believed: a PiB, far above every blob and far below where sums would overflow.
const LARGEST: u64 = 1 << 50;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The manifest for this node.
    Manifest(Descriptor),
    /// The config first, then the layers in order.
    Blobs(Vec<Descriptor>),
}

/// What a manifest says about one thing it names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Descriptor {
    #[serde(deserialize_with = "digest")]
    pub(super) digest: Digest,
    /// At most [`LARGEST`], so that it can be reckoned with.
    #[serde(deserialize_with = "size")]
    pub(super) size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// Reads a manifest or an index; `None` where it names nothing that this node would ask for.
pub(super) fn next(bytes: &[u8]) -> Option<Next> {
    let document: Document = serde_json::from_slice(bytes).ok()?;
    let mine = |descriptor: &Descriptor| {
        descriptor.platform.as_ref().is_some_and(|of| of.os == "linux" && of.architecture == architecture())
    };
    if let Some(manifest) = document.manifests.into_iter().find(mine) {
        return Some(Next::Manifest(manifest));
    }
    let blobs: Vec<_> = document.config.into_iter().chain(document.layers).collect();
    (!blobs.is_empty()).then_some(Next::Blobs(blobs))
}

/// This node's architecture by the name that Go, and so the image spec, gives it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

fn digest<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    Digest::parse(&text).map_err(serde::de::Error::custom)
}

fn size<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    u64::deserialize(from).map(|size| size.min(LARGEST))
}

#[cfg(test)]
mod tests {
    use cloudsim::image::Image;
    use proptest::prelude::{any, proptest};

    use super::{LARGEST, Next, architecture, next};

    #[test]
    fn an_index_leads_to_the_manifest_of_this_node_and_that_to_its_blobs_in_order() {
        let image = Image::random(3, 1000, 1);
        let stored = |digest: &str| &image.manifests.iter().find(|(name, _)| name == digest).unwrap().1.bytes;
        let index = stored(&image.digest);
        let Some(Next::Manifest(manifest)) = next(index) else { panic!("no manifest") };
        let document: serde_json::Value = serde_json::from_slice(index).unwrap();
        let listed = document["manifests"].as_array().unwrap();
        let named = listed.iter().find(|entry| entry["digest"] == manifest.digest.as_str()).unwrap();
        assert_eq!(named["platform"]["architecture"], architecture());
        let stored = stored(manifest.digest.as_str());
        let Some(Next::Blobs(blobs)) = next(stored) else { panic!("no blobs") };
        let layers: Vec<_> = blobs.iter().skip(1).map(|layer| layer.digest.as_str()).collect();
        assert_eq!(layers, image.layers);
        let document: serde_json::Value = serde_json::from_slice(stored).unwrap();
        assert_eq!(document["config"]["digest"], blobs[0].digest.as_str());
    }

    #[test]
    fn nothing_follows_from_what_is_for_others_or_malformed() {
        let index = r#"{"manifests":[{"digest":"sha256:x","size":1}]}"#;
        let other = format!(
            r#"{{"manifests":[{{"digest":"sha256:{}","size":1,"platform":{{"os":"windows","architecture":"amd64"}}}}]}}"#,
            "0".repeat(64)
        );
        for text in ["", "{}", "[]", r#"{"layers":[]}"#, index, &other] {
            assert_eq!(next(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_size_that_no_blob_has_is_cut_to_one_that_can_be_reckoned_with() {
        let digest = "0".repeat(64);
        let text = format!(r#"{{"layers":[{{"digest":"sha256:{digest}","size":{}}}]}}"#, u64::MAX);
        let Some(Next::Blobs(blobs)) = next(text.as_bytes()) else { panic!("no blobs") };
        assert_eq!(blobs[0].size, LARGEST);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            drop(next(text.as_bytes()));
        }
    }
}
