//! Everything the cloud makes up: keys, tokens, passwords, ids.
//!
//! Values that open something come from the operating system's random source, in the documented shapes, so that a test
//! which finds one of them in a log has found a leak and not a coincidence.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value;

use crate::hash::hex;

/// Characters after the prefix of a long-term key id, and in every secret. Read off real ones.
const KEY_ID_TAIL: usize = 18;
const SESSION_KEY_TAIL: usize = 24;
const SECRET_LENGTH: usize = 30;
/// Random bytes in a security token. No length is documented; real ones run to several hundred characters.
const TOKEN_BYTES: usize = 420;
/// Bytes behind the colon of a registry password, written as 40 hexadecimal digits.
const PASSWORD_BYTES: usize = 20;

/// A long-term key id.
pub(crate) fn access_key_id() -> String {
    format!("LTAI5t{}", letters(KEY_ID_TAIL))
}

/// The key id of an STS session.
pub(crate) fn session_key_id() -> String {
    format!("STS.N{}", letters(SESSION_KEY_TAIL))
}

/// An AccessKey secret.
pub(crate) fn secret() -> String {
    letters(SECRET_LENGTH)
}

/// A security token, with the characters that encoders get wrong.
pub(crate) fn security_token() -> String {
    format!("CAIS+{}/==", STANDARD.encode(random::<TOKEN_BYTES>()))
}

/// A registry password: unpadded base64 of a small JSON text, a colon, forty hexadecimal digits.
pub(crate) fn password(head: &Value) -> String {
    format!("{}:{}", STANDARD_NO_PAD.encode(head.to_string()), hex(&random::<PASSWORD_BYTES>()))
}

/// A session token of the metadata service.
pub(crate) fn metadata_token() -> String {
    letters(SECRET_LENGTH * 2)
}

/// A request id: an upper-case UUID.
pub(crate) fn request_id() -> String {
    let digits = hex(&random::<16>()).to_uppercase();
    let mut id = String::with_capacity(36);
    for (position, digit) in digits.chars().enumerate() {
        if matches!(position, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        id.push(digit);
    }
    id
}

/// A request id of OSS: twenty-four upper-case hexadecimal digits.
pub(crate) fn oss_request_id() -> String {
    hex(&random::<12>()).to_uppercase()
}

/// The unpredictable part of a bearer's identifier: as many lower-case hexadecimal digits.
pub(crate) fn bearer_id() -> String {
    hex(&random::<12>())
}

/// The numeric id of a role or user: eighteen digits, the first of them a 3.
pub(crate) fn numeric_id() -> String {
    random::<17>().iter().fold(String::from("3"), |mut id, byte| {
        id.push(char::from(b'0' + byte % 10));
        id
    })
}

fn letters(count: usize) -> String {
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    // The remainder favours a few letters by a hair, which costs less than a bit of some 170.
    (0..count).map(|_| char::from(ALPHABET[usize::from(random::<1>()[0]) % ALPHABET.len()])).collect()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}
