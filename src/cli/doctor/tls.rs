//! Whether a host is who it says it is, by a handshake with the roots of the daemon: one step for each host.

use super::Tools;
use super::finding::Finding;
use crate::http::certificate::Greeting;
use crate::http::origin::Origin;

/// Names of a certificate that are shown; those of a cloud go on for pages.
const SHOWN: usize = 3;

/// Says what the host at `origin` shows; that there is a way to it is another step's to say.
pub(super) async fn greeting(tools: &Tools<'_>, what: &str, origin: &Origin) -> Finding {
    let (step, host) = (format!("TLS of the {what}"), origin.host());
    match tools.client.greet(host, origin.port()).await {
        Ok(greeting) => Finding::good(step, told(&greeting)).asked(host, Some(greeting.took)),
        Err(error) => Finding::error(step, &error).asked(host, None),
    }
}

fn told(greeting: &Greeting) -> String {
    let certificate = &greeting.certificate;
    let mut names = certificate.names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if certificate.names.len() > SHOWN {
        names.push_str(&format!(" and {} more", certificate.names.len() - SHOWN));
    }
    let mut text = format!("{}; its certificate is for {names}", greeting.protocol.replace('_', "."));
    if let Some(issuer) = &certificate.issuer {
        text.push_str(&format!(", by {issuer}"));
    }
    if let Some(expires) = certificate.expires {
        text.push_str(&format!(", good until {}", expires.strftime("%Y-%m-%d")));
    }
    text
}
