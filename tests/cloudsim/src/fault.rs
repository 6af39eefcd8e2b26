//! Scripted faults: which requests go wrong, how, and how often.
//!
//! A rule is a matcher plus one [`Effect`]; the first matching rule that is not used up wins. The server applies effects
//! around the plain service functions, so no service knows of faults.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::SignedDuration;

use crate::journal::Service;

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Answers this instead of asking the service.
    Answer {
        /// The status.
        status: StatusCode,
        /// Extra header lines.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The body.
        body: Bytes,
    },
    /// Waits before the head, then answers as usual.
    Delay(Duration),
    /// Never answers, until the client goes away.
    Silence,
    /// Closes the connection (HTTP/2: resets the stream) before any head.
    CloseBeforeHead,
    /// Closes the connection with FIN once this many body bytes are on the wire; `Content-Length` promised more.
    CutAfter(u64),
    /// Resets the connection (RST) once this many body bytes are on the wire.
    ResetAfter(u64),
    /// Sends this many body bytes and then nothing more, with the connection open.
    StallAfter(u64),
    /// Sends only this many bytes with a `Content-Length` that says just that: clean for HTTP, short for the digest.
    ShortBody(u64),
    /// Sends the body without saying how long it is: chunked, in HTTP/1.1.
    NoLength,
    /// Flips one bit in the middle of the body; length and headers stay.
    WrongBytes,
    /// Answers 307 with this `Location`.
    Redirect(String),
    /// Answers a bare 302 with no body, as STS does when it throttles.
    Throttle302,
    /// Registry: hands out a blob URL that has expired already. OSS: treats the URL as expired.
    ExpiredSignature,
    /// Shifts the `Date` header of the answer.
    SkewedDate(SignedDuration),
    /// Shows a certificate for another name during the handshake; matched by host only.
    WrongCertificate,
    /// Closes a new connection before the TLS handshake; matched by host only.
    RefuseConnection,
    /// Answers the first request of a new connection with these bytes, whether they are HTTP or not; matched by host
    /// only.
    Raw {
        /// Sent once.
        first: Bytes,
        /// Sent behind it over and over, until the client goes away; empty: the connection is closed.
        again: Bytes,
    },
    /// The same, with one byte a second behind these: enough to look alive, and never enough.
    Drip(Bytes),
    /// The same over HTTP/2: frames in answer to the first request of a new connection, which is stream 1.
    Frames {
        /// Sent once.
        first: Bytes,
        /// Sent behind it over and over, until the client goes away; empty: the client is waited for.
        again: Bytes,
    },
}

impl Effect {
    /// An answer of `status` with a JSON (or any) body and no extra headers.
    #[must_use]
    pub fn answer(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::Answer { status, headers: Vec::new(), body: body.into() }
    }

    /// Whether it strikes while a connection is made, before any request is seen.
    fn strikes_connections(&self) -> bool {
        use Effect::{Drip, Frames, Raw, RefuseConnection, WrongCertificate};
        matches!(self, WrongCertificate | RefuseConnection | Raw { .. } | Drip(_) | Frames { .. })
    }
}

/// One scripted rule; build it with [`Fault::on`] or [`Fault::on_any`] and the narrowing methods.
#[derive(Debug, Clone)]
pub struct Fault {
    service: Option<Service>,
    method: Option<Method>,
    host: Option<String>,
    path: Option<String>,
    action: Option<String>,
    spare: u64,
    times: Option<u64>,
    effect: Effect,
}

impl Fault {
    /// A rule for every request of one service, until removed.
    #[must_use]
    pub fn on(service: Service, effect: Effect) -> Self {
        Self { service: Some(service), ..Self::on_any(effect) }
    }

    /// A rule for every request, until removed.
    #[must_use]
    pub fn on_any(effect: Effect) -> Self {
        Self { service: None, method: None, host: None, path: None, action: None, spare: 0, times: None, effect }
    }

    /// Only requests with this method.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Only requests (or connections) for exactly this host.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        Self { host: Some(host.to_ascii_lowercase()), ..self }
    }

    /// Only requests whose path contains this.
    #[must_use]
    pub fn path_contains(self, part: &str) -> Self {
        Self { path: Some(part.to_owned()), ..self }
    }

    /// Only calls of this API action.
    #[must_use]
    pub fn action(self, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..self }
    }

    /// Lets the first `count` matching requests through.
    #[must_use]
    pub fn after(self, count: u64) -> Self {
        Self { spare: count, ..self }
    }

    /// Strikes `count` times and is then used up.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self { times: Some(count), ..self }
    }

    /// Strikes once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    fn matches(&self, target: &Target<'_>) -> bool {
        self.service.is_none_or(|service| service == target.service)
            && self.method.as_ref().is_none_or(|method| Some(method) == target.method)
            && self.host.as_ref().is_none_or(|host| host == target.host)
            && self.path.as_ref().is_none_or(|part| target.path.is_some_and(|path| path.contains(part.as_str())))
            && self.action.as_ref().is_none_or(|action| Some(action.as_str()) == target.action)
    }
}

/// What a rule is compared with; a connection has neither method nor path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) service: Service,
    pub(crate) host: &'a str,
    pub(crate) method: Option<&'a Method>,
    pub(crate) path: Option<&'a str>,
    pub(crate) action: Option<&'a str>,
}

/// Names a rule that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(u64);

/// A shared handle on the rules in force.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    rules: Arc<Mutex<Rules>>,
}

#[derive(Debug, Default)]
struct Rules {
    next: u64,
    listed: Vec<Listed>,
}

#[derive(Debug)]
struct Listed {
    id: FaultId,
    fault: Fault,
    struck: u64,
}

impl Faults {
    /// Puts a rule in force, behind those added before it.
    pub fn add(&self, fault: Fault) -> FaultId {
        let mut rules = self.rules();
        rules.next += 1;
        let id = FaultId(rules.next);
        rules.listed.push(Listed { id, fault, struck: 0 });
        id
    }

    /// Takes a rule out of force. Removing it twice is harmless.
    pub fn remove(&self, id: FaultId) {
        self.rules().listed.retain(|listed| listed.id != id);
    }

    /// Takes every rule out of force.
    pub fn clear(&self) {
        self.rules().listed.clear();
    }

    /// How often a rule has struck; 0 once it was removed.
    #[must_use]
    pub fn struck(&self, id: FaultId) -> u64 {
        self.rules().listed.iter().find(|listed| listed.id == id).map_or(0, |listed| listed.struck)
    }

    /// Whether a rule can strike no more: it has done so as often as it may, or was removed.
    #[must_use]
    pub fn used_up(&self, id: FaultId) -> bool {
        let rules = self.rules();
        let listed = rules.listed.iter().find(|listed| listed.id == id);
        listed.is_none_or(|listed| listed.fault.times.is_some_and(|times| listed.struck >= times))
    }

    /// The effect for one request, counted as struck.
    pub(crate) fn strike_request(&self, target: &Target<'_>) -> Option<Effect> {
        self.strike(target, false)
    }

    /// The effect for one new connection, counted as struck.
    pub(crate) fn strike_connection(&self, target: &Target<'_>) -> Option<Effect> {
        self.strike(target, true)
    }

    fn strike(&self, target: &Target<'_>, connection: bool) -> Option<Effect> {
        for listed in &mut self.rules().listed {
            let fault = &mut listed.fault;
            let used_up = fault.times.is_some_and(|times| listed.struck >= times);
            if used_up || fault.effect.strikes_connections() != connection || !fault.matches(target) {
                continue;
            }
            if fault.spare > 0 {
                fault.spare -= 1;
                continue;
            }
            listed.struck += 1;
            return Some(fault.effect.clone());
        }
        None
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: Target<'static> = Target {
        service: Service::Oss,
        host: "bucket.oss-cn-hangzhou.aliyuncs.com",
        method: Some(&Method::GET),
        path: Some("/docker/registry/v2/blobs/sha256/00/data"),
        action: None,
    };

    #[test]
    fn a_rule_spares_then_strikes_then_is_used_up() {
        let faults = Faults::default();
        let id = faults.add(Fault::on(Service::Oss, Effect::Silence).path_contains("/blobs/").after(1).times(2));
        let struck: Vec<bool> = (0..4).map(|_| faults.strike_request(&BLOB).is_some()).collect();
        assert_eq!(struck, [false, true, true, false]);
        assert_eq!((faults.struck(id), faults.used_up(id)), (2, true));
    }

    #[test]
    fn rules_for_other_services_methods_and_connections_do_not_strike() {
        let faults = Faults::default();
        faults.add(Fault::on(Service::Sts, Effect::Silence));
        faults.add(Fault::on(Service::Oss, Effect::Silence).method(Method::HEAD));
        faults.add(Fault::on_any(Effect::Silence).action("AssumeRole"));
        faults.add(Fault::on_any(Effect::WrongCertificate).host(BLOB.host));
        assert!(faults.strike_request(&BLOB).is_none());
        assert!(matches!(faults.strike_connection(&BLOB), Some(Effect::WrongCertificate)));
        faults.clear();
        assert!(faults.strike_connection(&BLOB).is_none());
    }
}
