//! The certificate of the address for pulls, read again while the daemon runs.

use std::sync::Arc;
use std::time::Duration;

use super::{StartError, Task};
use crate::config::Tls;
use crate::http::listen::Listener;
use crate::http::listen::tls::{Certificate, CertificateFiles};

/// How often the files are looked into, as often as the configuration. A certificate is replaced days before its end.
const INTERVAL: Duration = Duration::from_secs(3);

/// Makes the address speak TLS where it is configured to; the watch over the certificate's files. Needs a runtime.
pub(super) fn secure(listener: Listener, tls: Option<&Tls>) -> Result<(Listener, Option<Task>), StartError> {
    let Some(tls) = tls else { return Ok((listener, None)) };
    let files = CertificateFiles { certificate: tls.cert_file.clone(), key: tls.key_file.clone() };
    let certificate = Certificate::load(files)?;
    let listener = listener.with_tls(certificate.acceptor()?);
    Ok((listener, Some(Task(tokio::spawn(watch(certificate))))))
}

async fn watch(certificate: Arc<Certificate>) {
    let mut told = None;
    loop {
        tokio::time::sleep(INTERVAL).await;
        let renewed = Arc::clone(&certificate);
        let Ok(renewed) = tokio::task::spawn_blocking(move || renewed.renew()).await else { continue };
        match renewed {
            Ok(changed) => {
                told = None;
                if changed {
                    tracing::info!("new connections see the new certificate");
                }
            }
            Err(error) => {
                let text = error.to_string();
                // Two files are not replaced in one step, so the first look may fall between them.
                if told.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "the certificate in use stays");
                    told = Some(text);
                }
            }
        }
    }
}
