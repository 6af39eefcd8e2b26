//! What a request is answered with: a ping by ourselves, everything else by the instance it belongs to.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LINK, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response};

use super::exchange::Subject;
use super::gate::Gate;
use super::link;
use super::respond::Refusal;
use super::route::{Face, Route};
use super::{Callers, Rules};
use crate::http::Body;
use crate::http::body::full;
use crate::http::headers::{DOCKER_DISTRIBUTION_API_VERSION, OCI_NAMESPACE};
use crate::oci::{Endpoint, RegistryHost, RegistryRequest, Resource};
use crate::telemetry::metrics::{InstanceMetrics, Kind, Method};
use crate::upstream::{Place, Pull};

/// Most bytes of request headers. containerd sends some hundred; a header table of `hosts.toml` may add to that.
const MOST_HEADER_BYTES: usize = 16 * 1024;

/// Answers requests by the rules of the moment.
#[derive(Debug)]
pub(super) struct Handler {
    rules: Rules,
    unrouted: Arc<InstanceMetrics>,
    gate: Gate,
}

impl Handler {
    pub(super) const fn new(rules: Rules, unrouted: Arc<InstanceMetrics>, gate: Gate) -> Self {
        Self { rules, unrouted, gate }
    }

    /// The same behind another gate.
    pub(super) fn behind(&self, gate: Gate) -> Self {
        Self { rules: self.rules.clone(), unrouted: Arc::clone(&self.unrouted), gate }
    }

    /// The same for a caller who needs no client token.
    pub(super) fn admitting(&self) -> Self {
        let rules = Rules { callers: Callers::everybody(), table: Arc::clone(&self.rules.table) };
        Self { rules, ..self.behind(self.gate.clone()) }
    }

    pub(super) async fn handle<B>(&self, request: Request<B>, subject: &Subject) -> Result<Response<Body>, Refusal> {
        // The body of a request is never read: a pull has none.
        let (mut head, _) = request.into_parts();
        if size(&head.headers) > MOST_HEADER_BYTES {
            return Err(Refusal::HeadersTooLarge);
        }
        let asked = RegistryRequest::parse(&head.method, head.uri.path(), head.uri.query());
        let admitted = match self.rules.callers.knows(&head.headers) {
            Some(known) => known,
            None => {
                let _place = self.gate.stranger()?;
                self.rules.callers.admit(&head.headers).await
            }
        };
        if let Err(refusal) = admitted {
            if let Ok(asked) = &asked {
                subject.unrouted(&self.unrouted, kind(&asked.endpoint), method(asked.head));
            }
            return Err(refusal.into());
        }
        // Only now: who is not admitted takes no place from those who are.
        subject.hold_request(self.gate.request()?);
        // Whatever it was, it was for us.
        head.headers.remove(AUTHORIZATION);
        let asked = asked?;
        if announces_body(&head.headers) {
            return Err(Refusal::Body);
        }
        let only_head = asked.head;
        let method = method(only_head);
        let kind = kind(&asked.endpoint);
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = head.uri.authority().map(http::uri::Authority::as_str).or(host);
        let route = self.rules.table.load().route(asked, host);
        match route {
            Ok(Route::Ping { namespace }) => {
                subject.unrouted(&self.unrouted, kind, method);
                Ok(ping(namespace.as_ref()))
            }
            Ok(Route::Pull { upstream, place, resource, face }) => {
                subject.pull(&upstream, (&place, &resource), kind, method);
                if (kind, only_head) == (Kind::Blob, false) {
                    subject.hold_stream(self.gate.stream().await?);
                }
                let pull = Pull { place, resource, head: only_head, sticks: face.sticks(), headers: head.headers };
                let response = upstream.pull(&pull).await?;
                Ok(dress(response, &pull.place, face))
            }
            Err(error) => {
                subject.unrouted(&self.unrouted, kind, method);
                Err(error.into())
            }
        }
    }
}

const fn method(only_head: bool) -> Method {
    if only_head { Method::Head } else { Method::Get }
}

const fn kind(endpoint: &Endpoint) -> Kind {
    match endpoint {
        Endpoint::Ping => Kind::Ping,
        Endpoint::Repository { resource: Resource::Manifest(_), .. } => Kind::Manifest,
        Endpoint::Repository { resource: Resource::Blob(_), .. } => Kind::Blob,
        Endpoint::Repository { resource: Resource::Tags { .. }, .. } => Kind::Tags,
        Endpoint::Repository { resource: Resource::Referrers { .. }, .. } => Kind::Referrers,
    }
}

/// Whether a body is to follow. No pull has one, and servers that disagree on where one ends are what request smuggling
/// lives on (RFC 9112, section 11.2).
fn announces_body(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING) || lengths.iter().any(|length| length.as_bytes() != b"0")
}

/// Bytes of header names and values, without what the protocol puts between them.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// `/v2/`: yes, this is a registry, and no, it wants no credentials.
fn ping(namespace: Option<&RegistryHost>) -> Response<Body> {
    const YES: &str = "{}";
    let mut response = Response::new(full(YES));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(YES.len()));
    dress_head(&mut response, namespace);
    response
}

/// Puts on an answer what is the face's own.
fn dress(mut response: Response<Body>, place: &Place, face: Face) -> Response<Body> {
    let links: Vec<_> =
        response.headers().get_all(LINK).iter().filter_map(|link| link::rewrite(link, place, face)).collect();
    response.headers_mut().remove(LINK);
    response.headers_mut().extend(links.into_iter().map(|link| (LINK, link)));
    dress_head(&mut response, (face == Face::Namespace).then_some(&place.host));
    response
}

fn dress_head(response: &mut Response<Body>, namespace: Option<&RegistryHost>) {
    let headers = response.headers_mut();
    headers.insert(DOCKER_DISTRIBUTION_API_VERSION, HeaderValue::from_static("registry/2.0"));
    let namespace = namespace.and_then(|namespace| HeaderValue::from_str(namespace.as_str()).ok());
    headers.extend(namespace.map(|namespace| (OCI_NAMESPACE, namespace)));
}
