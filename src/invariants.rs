//! What holds for every text from outside, whatever it says: one check for each parser of foreign bytes.
//!
//! Compiled for tests and for fuzzing only. A check takes bytes as they may come, and panics where a promise is broken;
//! that a parser refuses them is fine. `fuzz/` feeds the checks with what a fuzzer makes up (`fuzz/run`), and the
//! ordinary tests with the corpora that fuzzing left behind, and with random changes of them. The checks themselves
//! stand in the `invariants` of the module whose parsers they are about.

#[cfg(test)]
mod tests;

use crate::{cli, cloud, config, containerd, http, logins, oci, proxy, token, upstream};

/// A check, by the name of its fuzz target and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every check.
pub const TARGETS: &[Target] = &[
    ("acr_configuration", config::invariants::acr_configuration),
    ("bearer_answer", token::invariants::bearer_answer),
    ("bucket_error", upstream::invariants::bucket_error),
    ("caller", proxy::invariants::caller),
    ("challenge", challenge),
    ("claims", token::invariants::claims),
    ("cloud_answer", cloud::invariants::answer),
    ("config_toml", containerd::invariants::config_toml),
    ("configuration", config::invariants::configuration),
    ("credential_provider", cli::invariants::credential_provider),
    ("error_body", oci::invariants::error_body),
    ("hosts_toml", containerd::invariants::hosts_toml),
    ("link", proxy::invariants::link),
    ("location", location),
    ("logins", logins::invariants::wire),
    ("manifest", upstream::invariants::manifest),
    ("metadata", cloud::invariants::metadata),
    ("range", upstream::invariants::range),
    ("reference", oci::invariants::reference),
    ("request", oci::invariants::request),
];

/// Runs the check of this name.
///
/// # Panics
/// Where `data` breaks a promise, or there is no such check.
pub fn check(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let (_, check) = target.unwrap_or_else(|| panic!("there is no check named {name}"));
    check(data);
}

/// The header by itself, and as somebody's answer to where the login should go.
fn challenge(data: &[u8]) {
    oci::invariants::challenge(data);
    token::invariants::realm(data);
}

/// The URL by itself, and as a registry's answer to where the bytes are.
fn location(data: &[u8]) {
    http::invariants::url(data);
    upstream::invariants::redirected(data);
}
