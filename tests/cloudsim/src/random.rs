//! Unpredictable identifiers, shaped like those the cloud gives out.

use aws_lc_rs::rand;

use crate::oss::signature::hex;

/// `length` characters of upper-case hexadecimal, as request ids have.
pub(crate) fn upper_hex(length: usize) -> String {
    let mut bytes = vec![0_u8; length.div_ceil(2)];
    // A source of randomness that fails leaves zeros: an id that repeats, nothing worse.
    rand::fill(&mut bytes).ok();
    let mut text = hex(&bytes).to_ascii_uppercase();
    text.truncate(length);
    text
}
