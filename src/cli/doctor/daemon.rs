//! The running daemon: whether it answers, serves the domains, has its logins, and whether a pull reaches it.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Tools;
use super::finding::Finding;
use super::report::Report;
use crate::cli::pull::error::{PullError, WHOLE_STORY};
use crate::cli::pull::image::{Reference, pull};
use crate::cli::pull::{Progress, from_this_node, mirror, size};
use crate::config::{Config, client_token};
use crate::error::diagnosis::Sign;
use crate::http::Body;
use crate::http::body::{collect_limited, empty};
use crate::http::client::ClientError;
use crate::http::headers::{OCI_NAMESPACE, X_REQUEST_ID};
use crate::oci::RegistryHost;

/// A daemon on this node answers at once or not at all.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// Longest metrics page; a hundred instances have a tenth of it.
const LONGEST: usize = 16 << 20;
/// A request is counted when its last byte has gone, which may be a moment after it came: how often that is waited for.
const COUNT_TRIES: usize = 20;
/// The pause between.
const COUNT_PAUSE: Duration = Duration::from_millis(25);
/// What is left to do where the daemon has said why it does not serve an image.
const ABOVE: &str = "correct what failed above; where nothing did, look at the daemon's log, which has the whole story";
/// The counter of all requests (contract section 5).
const COUNTER: &str = "acr_pull_proxy_requests_total";

pub(super) async fn examine(
    tools: &Tools<'_>,
    domains: &[RegistryHost],
    image: Option<&Reference>,
    report: &mut Report,
) {
    let listen = from_this_node(tools.config.listen);
    let admin = from_this_node(tools.config.admin);
    let before = counted(tools, admin).await;
    if !serves(tools, listen, domains, report).await {
        return report.add(Finding::skipped("status", "not reached"));
    }
    reached(tools, admin, before, report).await;
    status(tools, admin, report).await;
    if let Some(image) = image {
        whole_pull(tools.config, image, report).await;
    }
}

/// Asks for each domain as containerd would; whether our daemon answered at all.
async fn serves(tools: &Tools<'_>, listen: SocketAddr, domains: &[RegistryHost], report: &mut Report) -> bool {
    for domain in domains {
        let response = match ask(tools, listen, &format!("/v2/?ns={domain}")).await {
            Ok(response) => response,
            Err(error) => {
                report.add(unanswered(tools, listen, &error).await);
                return false;
            }
        };
        let header = |name: http::HeaderName| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let Some(request_id) = header(X_REQUEST_ID) else {
            let text = format!("{listen} answers {}, but not as this daemon does", response.status().as_u16());
            report.add(Finding::failed("daemon", text, Sign::PullsElsewhere));
            return false;
        };
        if response.status() == StatusCode::FORBIDDEN {
            let why = response.extensions().get::<ReasonPhrase>().map(|reason| reason.as_bytes().to_vec());
            let why = String::from_utf8_lossy(&why.unwrap_or_default()).into_owned();
            report.add(Finding::failed("daemon", format!("{listen} refuses this node: {why}"), Sign::ClientToken));
            return false;
        }
        let served = header(OCI_NAMESPACE).as_deref() == Some(domain.as_str());
        // To the end, since it is counted then.
        collect_limited(response.into_body(), LONGEST).await.ok();
        report.add(if served {
            let finding = Finding::good("daemon", format!("serves {domain}"));
            finding.asked(listen.to_string(), None).id(Some(request_id))
        } else {
            Finding::failed("daemon", format!("{listen} does not serve {domain}"), Sign::DomainNotServed)
        });
    }
    !domains.is_empty()
}

/// Why there was no answer: nobody is there, no TLS came about, or whoever is there says nothing.
async fn unanswered(tools: &Tools<'_>, listen: SocketAddr, error: &ClientError) -> Finding {
    let why = crate::error::chain(error);
    let listens = matches!(timeout(ANSWER_TIME, TcpStream::connect(listen)).await, Ok(Ok(_)));
    let (text, sign) = match (listens, tools.config.tls.is_some()) {
        (true, true) => (format!("{listen} listens, but there is no TLS with it: {why}"), Sign::DaemonTls),
        (true, false) => (format!("{listen} listens, but does not answer: {why}"), Sign::PullsElsewhere),
        (false, _) => (format!("nothing answers at {listen}: {why}"), Sign::DaemonSilent),
    };
    Finding::failed("daemon", text, sign)
}

/// Whether the requests above were counted by the daemon whose admin address is configured.
async fn reached(tools: &Tools<'_>, admin: SocketAddr, before: Option<f64>, report: &mut Report) {
    let Some(before) = before else {
        return report.add(Finding::failed("metrics", format!("nothing answers at {admin}"), Sign::DaemonSilent));
    };
    for _ in 0..COUNT_TRIES {
        if counted(tools, admin).await.is_some_and(|now| now > before) {
            return report.add(Finding::good("way of a pull", format!("the requests were counted at {admin}")));
        }
        tokio::time::sleep(COUNT_PAUSE).await;
    }
    let text = format!("the requests were answered, but not counted at {admin}");
    report.add(Finding::failed("way of a pull", text, Sign::PullsElsewhere));
}

async fn counted(tools: &Tools<'_>, admin: SocketAddr) -> Option<f64> {
    let page = text(tools, admin, "/metrics").await?;
    let values = page.lines().filter(|line| line.starts_with(COUNTER)).filter_map(|line| line.rsplit(' ').next());
    Some(values.filter_map(|value| value.parse::<f64>().ok()).sum())
}

/// What the daemon says of itself.
async fn status(tools: &Tools<'_>, admin: SocketAddr, report: &mut Report) {
    let page = text(tools, admin, "/status").await;
    let Some(status) = page.and_then(|page| serde_json::from_str::<Value>(&page).ok()) else {
        return report.add(Finding::failed("status", format!("no status at {admin}"), Sign::DaemonSilent));
    };
    let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (version, started) = (word(&status, "version"), word(&status, "started"));
    report.add(if status["ready"] == true {
        Finding::good("status", format!("version {version}, ready, since {started}"))
    } else {
        Finding::failed("status", format!("version {version}, not ready, since {started}"), Sign::DaemonNotReady)
    });
    for refused in status["config"]["refused"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        report.add(Finding::warning("reload", format!("refused: {refused}"), Sign::ReloadRefused));
    }
    for instance in status["instances"].as_array().into_iter().flatten() {
        let error = &instance["lastError"];
        if error.is_object() {
            let text = format!("{} at {}: {}", word(instance, "id"), word(error, "at"), word(error, "text"));
            let said = |key: &str| error[key].as_str().map(str::to_owned);
            let finding = Finding::warning("last error", text, Sign::DaemonNotReady);
            let finding = finding.said(said("who"), said("cause")).id(said("requestId"));
            report.add(match said("advice") {
                Some(advice) => finding.fix(advice),
                None => finding,
            });
        }
    }
}

/// The whole image, as containerd would pull it.
async fn whole_pull(config: &Config, image: &Reference, report: &mut Report) {
    let mirror = match mirror(config, None) {
        Ok(mirror) => mirror,
        Err(error) => return report.add(Finding::failed("pull", error, Sign::ClientToken)),
    };
    report.add(match pull(&mirror, image, &Progress::silent()).await {
        Ok(pulled) => {
            let text = format!("{} blobs, {}, every digest verified", pulled.blobs.len(), size(pulled.bytes));
            Finding::good("pull", text).asked(mirror.to_string(), Some(Duration::from_millis(pulled.milliseconds)))
        }
        Err(PullError { error, who, cause, next }) => {
            let finding = Finding::failed("pull", error, Sign::PullsElsewhere);
            let finding = finding.said(who.map(str::to_owned), cause.map(str::to_owned));
            finding.fix(if next == WHOLE_STORY { ABOVE } else { next }).asked(mirror.to_string(), None)
        }
    });
}

async fn text(tools: &Tools<'_>, address: SocketAddr, path: &str) -> Option<String> {
    let response = ask(tools, address, path).await.ok().filter(|response| response.status().is_success())?;
    let body = collect_limited(response.into_body(), LONGEST).await.ok()?;
    String::from_utf8(body.to_vec()).ok()
}

async fn ask(tools: &Tools<'_>, address: SocketAddr, path: &str) -> Result<Response<Body>, ClientError> {
    let for_pulls = address == from_this_node(tools.config.listen);
    let scheme = if for_pulls && tools.config.tls.is_some() { "https" } else { "http" };
    let mut request = http::Request::builder().method(Method::GET).uri(format!("{scheme}://{address}{path}"));
    if for_pulls && let Some(token) = tools.config.client_token_file.as_deref().and_then(|file| client_token(file).ok())
    {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request.body(empty());
    let unusable = |source: http::Error| ClientError::Closed { host: address.to_string(), source: source.into() };
    tools.near.send(request.map_err(unusable)?, ANSWER_TIME).await
}
