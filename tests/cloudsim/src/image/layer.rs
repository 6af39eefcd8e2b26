//! One layer: a tar archive, compressed, with both of its digests.

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use crate::hash::{hex, sha256};

/// A layer ready to be listed in a manifest.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The compressed bytes.
    pub bytes: Bytes,
    /// Digest of the compressed bytes: the blob's name.
    pub digest: String,
    /// Digest of the archive inside, which the image config lists.
    pub diff_id: String,
}

impl Layer {
    /// A layer with one file of `bytes` pseudo-random bytes, the same for the same seed.
    #[must_use]
    pub fn random(bytes: usize, seed: u64) -> Self {
        LayerBuilder::new(Compression::none()).file(&format!("random-{seed}"), 0o644, &noise(bytes, seed)).build()
    }

    /// Starts a layer of files.
    #[must_use]
    pub fn builder() -> LayerBuilder {
        LayerBuilder::new(Compression::fast())
    }
}

/// Collects the entries of a layer. Entries are owned by root and dated 1970, so that digests repeat.
pub struct LayerBuilder {
    archive: tar::Builder<Hashing<GzEncoder<Vec<u8>>>>,
}

impl std::fmt::Debug for LayerBuilder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("LayerBuilder").finish_non_exhaustive()
    }
}

impl LayerBuilder {
    fn new(compression: Compression) -> Self {
        let inner = GzEncoder::new(Vec::new(), compression);
        Self { archive: tar::Builder::new(Hashing { inner, context: Context::new(&SHA256) }) }
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(path, EntryType::Regular, mode, None, content)
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.entry(path, EntryType::Directory, 0o755, None, &[])
    }

    /// Adds a symbolic link to `target`.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, EntryType::Symlink, 0o777, Some(target), &[])
    }

    fn entry(mut self, path: &str, kind: EntryType, mode: u32, target: Option<&str>, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        let appended = match target {
            Some(target) => self.archive.append_link(&mut header, path, target),
            None => self.archive.append_data(&mut header, path, content),
        };
        appended.expect("writing to memory fails only for a path that is too long or not relative");
        self
    }

    /// The layer.
    #[must_use]
    pub fn build(self) -> Layer {
        let hashing = self.archive.into_inner().expect("writing to memory does not fail");
        let diff_id = format!("sha256:{}", hex(hashing.context.finish().as_ref()));
        let bytes = Bytes::from(hashing.inner.finish().expect("writing to memory does not fail"));
        Layer { digest: sha256(&bytes), bytes, diff_id }
    }
}

/// Hashes what passes through.
struct Hashing<W> {
    inner: W,
    context: Context,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.context.update(buf.get(..written).unwrap_or(buf));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes that do not compress: the SplitMix64 sequence (public domain, S. Vigna).
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    out.truncate(bytes);
    out
}
