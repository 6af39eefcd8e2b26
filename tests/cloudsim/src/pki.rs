//! The private certificate authority of the simulated cloud and the leaf certificates it makes on first sight of a name.
//!
//! The authority lives and dies with one simulator. It is the only thing a client must trust, so no client ever needs to
//! switch verification off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The name in a certificate scripted to be wrong.
const ANOTHER_NAME: &str = "another-name.invalid";

/// The name certified for clients that send none (RFC 6066 allows no IP address as a server name).
const UNNAMED: &str = "localhost";

/// Why the authority could not be made or could not sign.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key or certificate could not be made.
    #[error("the simulated certificate authority failed: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused a key or a setting.
    #[error("the TLS library refused the simulated certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// The three ways the TLS port may greet a client.
#[derive(Debug, Clone)]
pub(crate) struct TlsFaces {
    /// Offers HTTP/2 and HTTP/1.1.
    pub(crate) both: Arc<ServerConfig>,
    /// Offers HTTP/1.1 only, as OSS does.
    pub(crate) http1: Arc<ServerConfig>,
    /// Shows a valid certificate for another name.
    pub(crate) wrong_name: Arc<ServerConfig>,
}

/// The authority.
pub(crate) struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    provider: Arc<CryptoProvider>,
    leaves: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pki").finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes a new authority with a key of its own.
    pub(crate) fn new() -> Result<Self, PkiError> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, "cloudsim private CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        Ok(Self { issuer, provider, leaves: Mutex::default() })
    }

    /// The authority's certificate as PEM.
    pub(crate) fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A new leaf for a name and its key, both PEM.
    pub(crate) fn certificate(&self, name: &str) -> Result<(String, String), PkiError> {
        let (key, certificate) = self.signed(name)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// The server configurations, which share this authority.
    pub(crate) fn faces(self: &Arc<Self>) -> Result<TlsFaces, PkiError> {
        let both: &[&[u8]] = &[b"h2", b"http/1.1"];
        Ok(TlsFaces {
            both: self.config(None, both)?,
            http1: self.config(None, &[b"http/1.1"])?,
            wrong_name: self.config(Some(ANOTHER_NAME), both)?,
        })
    }

    fn config(self: &Arc<Self>, always: Option<&'static str>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, PkiError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByName { pki: Arc::clone(self), always }));
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn leaf(&self, name: &str) -> Result<Arc<CertifiedKey>, PkiError> {
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = leaves.get(name) {
            return Ok(Arc::clone(leaf));
        }
        let (key, certificate) = self.signed(name)?;
        let key = self.provider.key_provider.load_private_key(PrivateKeyDer::from(key))?;
        let leaf = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
        leaves.insert(name.to_owned(), Arc::clone(&leaf));
        Ok(leaf)
    }

    fn signed(&self, name: &str) -> Result<(KeyPair, Certificate), PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((key, certificate))
    }
}

/// Picks the leaf for the name a client asks for, or always the same one.
#[derive(Debug)]
struct ByName {
    pki: Arc<Pki>,
    always: Option<&'static str>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = self.always.or(hello.server_name()).unwrap_or(UNNAMED);
        self.pki.leaf(&name.to_ascii_lowercase()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_made_once_per_name() {
        let pki = Pki::new().expect("an authority");
        let first = pki.leaf("cr.cn-hangzhou.aliyuncs.com").expect("a leaf");
        let again = pki.leaf("cr.cn-hangzhou.aliyuncs.com").expect("a leaf");
        let other = pki.leaf("sts.aliyuncs.com").expect("a leaf");
        assert!(Arc::ptr_eq(&first, &again));
        assert_ne!(first.cert, other.cert);
        assert!(pki.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
