//! The one TLS configuration of the outbound side.
//!
//! The cryptography provider is named here and nowhere else. There is no way to switch verification off: a private CA is
//! added to the roots instead.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

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
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(BuildError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
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
    use super::client_config;
    use crate::http::client::BuildError;

    #[test]
    fn a_file_without_a_certificate_is_an_error_and_not_an_empty_trust() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(client_config(Some(text)), Err(BuildError::Roots(_))), "{text:?} passed");
        }
    }
}
