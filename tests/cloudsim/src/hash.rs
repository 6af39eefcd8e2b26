//! How bytes are named: hexadecimal, and the digests of the registry.

use aws_lc_rs::digest;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The digest of some bytes as registries write it: `sha256:` and lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(digest::digest(&digest::SHA256, bytes).as_ref()))
}

/// The same by the other algorithm that registries know.
pub(crate) fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(digest::digest(&digest::SHA512, bytes).as_ref()))
}
