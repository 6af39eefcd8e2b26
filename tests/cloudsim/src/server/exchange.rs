//! One request and its answer: read, journal, wait, strike, ask the service, send.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, DATE, HOST, LOCATION, RANGE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use jiff::SignedDuration;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, sleep};

use super::body::{Ending, Outgoing};
use super::wire::{BreakOff, Grip};
use super::{World, plain};
use crate::call::{Answer, Call};
use crate::clock::http_date;
use crate::fault::{Effect, Target};
use crate::journal::{Entry, Service};
use crate::oss::TrafficLimit;
use crate::registry::Redirects;

/// The most a request body may hold; an OIDC token and a policy together stay far below.
const MOST_BODY: usize = 1024 * 1024;

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    peer: SocketAddr,
    number: u64,
    tls_name: Option<String>,
    tls_resumed: bool,
    plain: bool,
}

impl Connection {
    pub(super) fn tls(peer: SocketAddr, number: u64, tls_name: Option<String>, tls_resumed: bool) -> Self {
        Self { peer, number, tls_name, tls_resumed, plain: false }
    }

    pub(super) fn plain(peer: SocketAddr, number: u64) -> Self {
        Self { peer, number, tls_name: None, tls_resumed: false, plain: true }
    }
}

/// How an answer leaves.
struct Plan {
    answer: Answer,
    ending: Ending,
    skew: SignedDuration,
}

impl From<Answer> for Plan {
    fn from(answer: Answer) -> Self {
        Self { answer, ending: Ending::Clean, skew: SignedDuration::ZERO }
    }
}

/// Answers one request. An error closes the connection (HTTP/2: resets the stream) without a head.
pub(super) async fn exchange(
    world: Arc<World>,
    connection: Arc<Connection>,
    grip: Arc<Grip>,
    request: Request<Incoming>,
) -> io::Result<Response<Outgoing>> {
    let (parts, body) = request.into_parts();
    let host = host_of(&parts);
    let service = if connection.plain { Service::Imds } else { world.service_of(&host, parts.uri.path()) };
    let body = Limited::new(body, MOST_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let version = parts.version;
    let call =
        Call { method: parts.method, host, uri: parts.uri, headers: parts.headers, body, now: world.clock.now() };
    let entry = entry(&call, service, version, &connection);
    let action = entry.action.clone();
    let open = world.journal.begin(entry);

    let round_trip = world.paces.of(service).round_trip;
    if !connection.plain && !round_trip.is_zero() {
        sleep(round_trip).await;
    }
    let target = Target {
        service,
        host: &call.host,
        method: Some(&call.method),
        path: Some(call.uri.path()),
        action: action.as_deref(),
    };
    let plan = match world.faults.strike_request(&target) {
        None => world.answer(service, &call, Redirects::Good).into(),
        Some(effect) => struck(&world, service, call, effect).await?,
    };

    let Plan { answer, ending, skew } = plan;
    let (mut head, bytes) = answer.into_parts();
    if let Ok(date) = HeaderValue::from_str(&http_date(world.clock.now() + skew)) {
        head.headers.insert(DATE, date);
    }
    if service == Service::Oss {
        grip.limit(head.extensions.get().map(|TrafficLimit(bytes_per_second)| *bytes_per_second));
    }
    open.answered(head.status);
    let shared = version == Version::HTTP_2;
    Ok(Response::from_parts(head, Outgoing::new(bytes, ending, grip, shared, open)))
}

/// What a scripted fault makes of a request.
async fn struck(world: &World, service: Service, mut call: Call, effect: Effect) -> io::Result<Plan> {
    let ask = |call: &Call| world.answer(service, call, Redirects::Good);
    Ok(match effect {
        Effect::Answer { status, headers, body } => {
            let mut answer = Response::new(body);
            *answer.status_mut() = status;
            answer.headers_mut().extend(headers);
            answer.into()
        }
        Effect::Delay(time) => {
            sleep(time).await;
            ask(&call).into()
        }
        Effect::Silence => pending().await,
        Effect::CloseBeforeHead => return Err(io::Error::other("closed before the head by a scripted fault")),
        Effect::CutAfter(bytes) => cut(ask(&call), bytes, Ending::BreakOff(BreakOff::Fin)),
        Effect::ResetAfter(bytes) => cut(ask(&call), bytes, Ending::BreakOff(BreakOff::Reset)),
        Effect::StallAfter(bytes) => cut(ask(&call), bytes, Ending::Stall),
        Effect::ShortBody(bytes) => {
            let mut plan = cut(ask(&call), bytes, Ending::Clean);
            let length = HeaderValue::from(plan.answer.body().len());
            plan.answer.headers_mut().insert(CONTENT_LENGTH, length);
            plan
        }
        Effect::NoLength => {
            let mut answer = ask(&call);
            answer.headers_mut().remove(CONTENT_LENGTH);
            Plan { ending: Ending::Unannounced, ..answer.into() }
        }
        Effect::WrongBytes => ask(&call).map(|bytes| flipped(&bytes)).into(),
        Effect::Redirect(location) => {
            let mut answer = plain(StatusCode::TEMPORARY_REDIRECT, "");
            let location = HeaderValue::from_str(&location).map_err(io::Error::other)?;
            answer.headers_mut().insert(LOCATION, location);
            answer.into()
        }
        Effect::Throttle302 => plain(StatusCode::FOUND, "").into(),
        Effect::ExpiredSignature if service == Service::Oss => {
            // Far enough ahead for any lifetime OSS allows, which is seven days.
            call.now += SignedDuration::from_hours(8 * 24);
            ask(&call).into()
        }
        Effect::ExpiredSignature => world.answer(service, &call, Redirects::Expired).into(),
        Effect::SkewedDate(skew) => Plan { skew, ..ask(&call).into() },
        // These strike connections and never come here.
        Effect::WrongCertificate
        | Effect::RefuseConnection
        | Effect::Raw { .. }
        | Effect::Drip(_)
        | Effect::Frames { .. } => ask(&call).into(),
    })
}

/// Keeps the head and the first `bytes` of the body, then ends as told. The head goes on promising the whole.
fn cut(answer: Answer, bytes: u64, ending: Ending) -> Plan {
    let (mut head, mut body) = answer.into_parts();
    head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(body.len()));
    body.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    Plan { answer: Response::from_parts(head, body), ending, skew: SignedDuration::ZERO }
}

fn flipped(bytes: &Bytes) -> Bytes {
    let mut wrong = bytes.to_vec();
    let middle = wrong.len() / 2;
    if let Some(byte) = wrong.get_mut(middle) {
        *byte ^= 1;
    }
    wrong.into()
}

fn host_of(parts: &Parts) -> String {
    let header = || parts.headers.get(HOST).and_then(|value| value.to_str().ok());
    let name = parts.uri.authority().map(http::uri::Authority::as_str).or_else(header).unwrap_or_default();
    let name = match name.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    };
    name.to_ascii_lowercase()
}

fn entry(call: &Call, service: Service, version: Version, connection: &Connection) -> Entry {
    let scheme = |value: &str| value.split(' ').next().unwrap_or_default().to_owned();
    Entry {
        service,
        method: call.method.clone(),
        host: call.host.clone(),
        path: call.uri.path().to_owned(),
        query: call.uri.query().unwrap_or_default().to_owned(),
        action: action_of(call),
        header_names: call.headers.keys().map(ToString::to_string).collect(),
        authorization: call.header(AUTHORIZATION.as_str()).map(scheme),
        range: call.header(RANGE.as_str()).map(str::to_owned),
        tls_name: connection.tls_name.clone(),
        tls_resumed: connection.tls_resumed,
        version,
        peer: connection.peer,
        connection: connection.number,
        at: call.now,
        arrived: Instant::now(),
        status: None,
        bytes_sent: 0,
        over: false,
    }
}

/// The API action: a header with signature V3, a parameter of query or form otherwise.
fn action_of(call: &Call) -> Option<String> {
    if let Some(action) = call.header("x-acs-action") {
        return Some(action.to_owned());
    }
    let form = if call.method == Method::POST { std::str::from_utf8(&call.body).unwrap_or_default() } else { "" };
    let query = call.uri.query().unwrap_or_default();
    let action = query.split('&').chain(form.split('&')).find_map(|pair| pair.strip_prefix("Action="))?;
    Some(percent_decode_str(action).decode_utf8_lossy().into_owned())
}
