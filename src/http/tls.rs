//! The one TLS configuration of the outbound side.
//!
//! The cryptography provider is named here and nowhere else. There is no way to switch verification off: a private CA is
//! added to the roots instead.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ClientConfig, RootCertStore};

use super::client::BuildError;

/// Builds the configuration from the system's roots and `extra_roots` (PEM text).
///
/// Sessions are resumed from rustls' own store, shared by every connection made from the result. ALPN is left to the
/// connector.
///
/// # Errors
/// [`BuildError`] where the extra roots hold no usable certificate, or where there is no root at all.
pub(super) fn client_config(extra_roots: Option<&str>) -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(error = %error, "a root certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(pem) = extra_roots {
        add(&mut roots, pem)?;
    }
    if roots.is_empty() {
        return Err(BuildError::NoRoots);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(BuildError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// The cryptography, with 128-bit AES in front of 256-bit AES: a quarter fewer rounds over every byte of every blob, and
/// as good as unbreakable. A server that has an opinion of its own decides.
///
/// Measured where blobs are read, at the client's end of TLS 1.3 (AMD EPYC with AVX-512; medians of seven GiB): 0.17 s for a
/// GiB with AES-128-GCM, 0.18 s with AES-256-GCM and 0.49 s with ChaCha20-Poly1305; with ring in place of AWS-LC 0.18 to
/// 0.20 s, 0.19 s and 0.48 s.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let short = matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        // TLS 1.3 stays in front of TLS 1.2.
        (suite.tls13().is_none(), !short)
    });
    provider
}

/// Adds every certificate of a PEM text; one that cannot be used fails the whole, since its owner wants to know.
fn add(roots: &mut RootCertStore, pem: &str) -> Result<(), BuildError> {
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| BuildError::Roots(error.to_string()))?;
        roots.add(certificate).map_err(|error| BuildError::Roots(error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(BuildError::Roots("there is no CERTIFICATE block in it".to_owned())) }
}

#[cfg(test)]
mod tests {
    use rustls::CipherSuite;

    use super::{client_config, provider};
    use crate::http::client::BuildError;

    #[test]
    fn the_cheaper_cipher_is_asked_for_first_and_none_is_lost() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(suites[0], CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites.len(), rustls::crypto::aws_lc_rs::default_provider().cipher_suites.len());
    }

    #[test]
    fn a_file_without_a_certificate_is_an_error_and_not_an_empty_trust() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(client_config(Some(text)), Err(BuildError::Roots(_))), "{text:?} passed");
        }
    }
}
