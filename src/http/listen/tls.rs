//! The TLS side of the address for pulls: one certificate for every name, exchanged while running.
//!
//! Promises: a certificate comes with the key that fits it or not at all; a pair of files that is half written changes
//! nothing; HTTP/2 and HTTP/1.1 are offered. Must not: ask a client for a certificate; who may pull is said by the client
//! token.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM certificates, the daemon's own first.
    pub certificate: PathBuf,
    /// The PEM key that belongs to the first of them.
    pub key: PathBuf,
}

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of the files cannot be read, or is not what it should be.
    #[error("{} {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The two do not belong together, or TLS cannot use them.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
}

/// The certificate in use.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(files: CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = ArcSwap::from_pointee(read(&files, &provider)?);
        Ok(Arc::new(Self { files, current, provider }))
    }

    /// Reads the files again; whether there was another certificate in them, which every new connection then sees.
    ///
    /// # Errors
    /// [`CertificateError`]; the certificate in use stays.
    pub fn renew(&self) -> Result<bool, CertificateError> {
        let read = read(&self.files, &self.provider)?;
        let changed = read.cert != self.current.load().cert;
        if changed {
            self.current.store(Arc::new(read));
        }
        Ok(changed)
    }

    /// Greets clients with it.
    ///
    /// # Errors
    /// [`CertificateError::Pair`] where the TLS library refuses its own defaults, which it does not.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, CertificateError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let wrong = |path: &Path, why: String| CertificateError::File { path: path.to_path_buf(), why };
    let text = |path: &Path| {
        let unreadable = |error: io::Error| wrong(path, format!("cannot be read: {error}"));
        std::fs::read(path).map(zeroize::Zeroizing::new).map_err(unreadable)
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(&files.certificate)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| wrong(&files.certificate, "holds no PEM certificate".to_owned()))?;
    // What the parser says of a key stays here.
    let key = PrivateKeyDer::from_pem_slice(&text(&files.key)?);
    let key = key.map_err(|_| wrong(&files.key, "holds no PEM key".to_owned()))?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Certificate, CertificateFiles};

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_exchanged_with_its_key_and_never_without() {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles { certificate: dir.path().join("crt"), key: dir.path().join("key") };
        let [(first, first_key), (second, second_key)] = [pair(), pair()];
        assert!(Certificate::load(files.clone()).unwrap_err().to_string().contains("cannot be read"));
        fs::write(&files.certificate, &first).unwrap();
        fs::write(&files.key, "nothing").unwrap();
        assert!(Certificate::load(files.clone()).unwrap_err().to_string().ends_with("holds no PEM key"));
        fs::write(&files.key, &first_key).unwrap();
        let certificate = Certificate::load(files.clone()).unwrap();
        assert!(!certificate.renew().unwrap());
        fs::write(&files.certificate, &second).unwrap();
        let error = certificate.renew().unwrap_err().to_string();
        assert!(error.contains("cannot be used together"), "{error}");
        fs::write(&files.key, &second_key).unwrap();
        assert!(certificate.renew().unwrap());
        fs::write(&files.certificate, "").unwrap();
        assert!(certificate.renew().unwrap_err().to_string().ends_with("holds no PEM certificate"));
    }
}
