//! Steps that are a scripted fault of the cloud.

use std::time::Duration;

use bytes::Bytes;
use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use http::{HeaderValue, Method, StatusCode, header};
use jiff::SignedDuration;

use super::deck::{BRIEF, Card, Plan, Sort, moment};
use super::{Action, Kind, Out, Revoked, Step, Told, issued_by};

/// How long a fault that strikes once or twice waits for its victims.
const STRIKES_WITHIN: Duration = Duration::from_secs(3);

/// The same for one that meets new connections only.
const CONNECTS_WITHIN: Duration = Duration::from_secs(15);

/// Where a hostile registry may send a client: into the network of the node, and to a stranger.
const FOREIGN: [&str; 2] = ["https://100.100.100.200/latest/meta-data/", "https://elsewhere.example/blob"];

impl Plan {
    pub(super) fn fault(&mut self, card: Card) -> Step {
        let Card { sort, service } = card;
        match sort {
            Sort::ServiceFailing => {
                let (name, effect) = self.all_fail();
                let action = Action::Fault(Box::new(Fault::on(service, effect)), issued_by(service));
                let name = format!("{service:?}: all {name}, briefly");
                return Step { alone: true, lasts: BRIEF, ..moment(sort, name, action) };
            }
            Sort::ServiceOutage => {
                let (name, effect) = self.all_fail();
                let action = Action::Fault(Box::new(Fault::on(service, effect)), issued_by(service));
                return self.outage(sort, Out::Service(service), format!("{service:?}: all {name}"), action);
            }
            Sort::WrongBytes => return lie(card, Told::WrongContent, Effect::WrongBytes),
            Sort::ShortBody => return lie(card, Told::WrongContent, Effect::ShortBody(self.dice.below(10_000))),
            Sort::ForeignRedirect => {
                let place = self.dice.pick(&FOREIGN);
                return lie(card, Told::ForeignPlace, Effect::Redirect(place.to_owned()));
            }
            _ => {}
        }
        let effect = self.effect(sort);
        let times = match sort {
            Sort::Silence | Sort::Stall | Sort::ExpiredUrl => 1,
            _ => self.dice.between(1, 2),
        };
        let name = format!("{service:?}: {sort:?}, {times} x");
        let fault = Box::new(Fault::on(service, effect).times(times));
        let lasts = match sort {
            Sort::ConnectionRefused | Sort::WrongCertificate | Sort::NotHttp | Sort::MetadataFailing => CONNECTS_WITHIN,
            _ => STRIKES_WITHIN,
        };
        Step { lasts, ..moment(sort, name, Action::Fault(fault, issued_by(service))) }
    }

    fn effect(&mut self, sort: Sort) -> Effect {
        match sort {
            Sort::Throttled => {
                let mut headers = Vec::new();
                if self.dice.below(2) == 0 {
                    headers.push((header::RETRY_AFTER, HeaderValue::from_static("1")));
                }
                Effect::Answer { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() }
            }
            Sort::ClosedBeforeHead => Effect::CloseBeforeHead,
            Sort::ConnectionRefused => Effect::RefuseConnection,
            Sort::WrongCertificate => Effect::WrongCertificate,
            Sort::NotHttp => {
                let first = self.dice.pick(&["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Le", "\0\0\0\0"]);
                Effect::Raw { first: Bytes::from_static(first.as_bytes()), again: Bytes::new() }
            }
            Sort::Silence => Effect::Silence,
            Sort::Stall => Effect::StallAfter(self.dice.below(200_000)),
            Sort::Delay => Effect::Delay(self.dice.millis(100, 2_000)),
            Sort::BareRedirect => Effect::Throttle302,
            Sort::ExpiredUrl => Effect::ExpiredSignature,
            Sort::Cut => Effect::CutAfter(self.dice.below(400_000)),
            Sort::Reset => Effect::ResetAfter(self.dice.below(400_000)),
            Sort::NoLength => Effect::NoLength,
            Sort::SkewedDate => {
                let off = i64::try_from(self.dice.below(7_201)).expect("small") - 3_600;
                Effect::SkewedDate(SignedDuration::from_secs(off))
            }
            _ => self.bad_answer(),
        }
    }

    fn bad_answer(&mut self) -> Effect {
        let status = self.dice.pick(&[500, 502, 503, 504]);
        Effect::answer(StatusCode::from_u16(status).expect("a status"), "")
    }

    /// What befalls every request to one service.
    fn all_fail(&mut self) -> (&'static str, Effect) {
        match self.dice.below(3) {
            0 => ("closed", Effect::CloseBeforeHead),
            1 => ("refused", Effect::RefuseConnection),
            _ => ("5xx", self.bad_answer()),
        }
    }
}

/// An answer to one request for content that is not what it should be.
fn lie(Card { sort, service }: Card, told: Told, effect: Effect) -> Step {
    let path = if service == Service::Registry { "/blobs/" } else { "/" };
    let fault = Box::new(Fault::on(service, effect).method(Method::GET).path_contains(path).once());
    let action = Action::Fault(fault, Revoked::Nothing);
    let name = format!("{service:?}: {sort:?}");
    Step { kind: Kind::Lie(told), alone: true, lasts: STRIKES_WITHIN, ..moment(sort, name, action) }
}
