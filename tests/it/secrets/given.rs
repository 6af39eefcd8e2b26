//! What a failing service repeats of what it was given.

use cloudsim::CloudSim;
use cloudsim::fault::Effect;
use cloudsim::journal::Service;
use http::{HeaderName, HeaderValue, StatusCode};

/// What a service was given and so might repeat, one secret at a time: whole where it looks like a code or an id, so that
/// no rule about words spares the search for it, and its end where it does not, since that is as secret as its beginning.
pub(super) struct Given {
    word: String,
    piece: String,
}

impl Given {
    fn new(word: &str, secret: &str) -> Self {
        Self { word: word.to_owned(), piece: end(secret, 24).to_owned() }
    }

    /// `layer` is the digest, in hexadecimal, of the blob that the bucket is asked for.
    pub(super) fn to(service: Service, cloud: &CloudSim, layer: &str) -> Self {
        let of_ram = cloud.directory().issued_secrets();
        let all = cloud.issued_secrets();
        let newest = |kind: &dyn Fn(&str) -> bool| {
            all.iter().rev().find(|secret| kind(secret)).map(String::as_str).unwrap_or_default()
        };
        match service {
            // A key secret stands before the token of its session, and the last session asks for the login.
            Service::Cr => {
                let token = of_ram.iter().rposition(|secret| secret.starts_with("CAIS")).expect("a session");
                Self::new(&of_ram[token - 1], &of_ram[token])
            }
            // Which of the sessions asks for the next one is not told, so that it may be any, and a word of none.
            Service::Sts => {
                let tokens = of_ram.iter().rev().filter(|secret| secret.starts_with("CAIS")).take(9);
                Self {
                    word: "NoPermission".to_owned(),
                    piece: tokens.map(|token| end(token, 24)).collect::<Vec<_>>().join(" "),
                }
            }
            Service::Realm => Self::new("DENIED", newest(&|secret| secret.contains(':'))),
            // The signature of a bearer is what makes it one.
            Service::Registry => {
                let bearer = newest(&|secret| secret.matches('.').count() == 2);
                Self::new(end(bearer, 40), &format!("{}x", end(bearer, 40)))
            }
            _ => {
                let mut asked =
                    cloud.journal().filter(|entry| entry.service == Service::Oss && entry.path.contains(layer));
                let asked = asked.pop().expect("the bucket was asked").query;
                let (_, signature) = asked.split_once("x-oss-signature=").expect("a V4 signature");
                let signature = signature.split('&').next().expect("a value");
                assert_eq!(signature.len(), 64, "{asked}");
                Self::new(signature, signature)
            }
        }
    }

    /// The error answers in which a service repeats it, in the shapes that are read, one after the other.
    pub(super) fn echo(&self, service: Service, number: usize) -> Option<Effect> {
        let Self { word, piece } = self;
        let (status, body) = match (service, number) {
            (Service::Sts | Service::Cr, 0) => {
                (403, format!(r#"{{"Code":"NoPermission","Message":"{piece} may not","RequestId":"{word}"}}"#))
            }
            (Service::Sts | Service::Cr, 1) => {
                (400, format!(r#"{{"code":"{word}","message":"as the code","requestId":"{}"}}"#, end(word, 20)))
            }
            (Service::Sts | Service::Cr, 2) => {
                (500, format!("<Error><Code>{}</Code><Message>{piece}</Message></Error>", end(word, 20)))
            }
            (Service::Realm, 0) => (403, format!(r#"{{"errors":[{{"code":"DENIED","message":"{piece}"}}]}}"#)),
            (Service::Realm, 1) => (200, format!(r#"{{"error":"{piece}"}}"#)),
            (Service::Registry, 0) => {
                (403, format!(r#"{{"errors":[{{"code":"DENIED","message":"{word} is a bad token"}}]}}"#))
            }
            (Service::Registry, 1) => {
                (404, format!(r#"{{"errors":[{{"code":"MANIFEST_UNKNOWN","message":"x{piece}x"}}]}}"#))
            }
            (Service::Registry, 2) => (400, format!(r#"{{"errors":[{{"code":"{word}","message":"{piece}"}}]}}"#)),
            (Service::Oss, 0) => (403, format!("<Error><Code>{word}</Code><Message>{word}</Message></Error>")),
            (Service::Oss, 1) => (400, format!("<Error><Code>{word}</Code><RequestId>{word}</RequestId></Error>")),
            (Service::Oss, 2) => (400, format!("<Error><Code>{piece}</Code><Message>{word}</Message></Error>")),
            _ => return None,
        };
        let value = HeaderValue::from_str(word).expect("a header value");
        let names =
            ["x-oss-request-id", "x-acs-request-id", "docker-distribution-api-version", "x-request-id", "warning"];
        let headers = names.map(|name| (HeaderName::from_static(name), value.clone())).to_vec();
        Some(Effect::Answer { status: StatusCode::from_u16(status).expect("a status"), headers, body: body.into() })
    }
}

/// The last characters of a secret.
fn end(secret: &str, length: usize) -> &str {
    secret.get(secret.len().saturating_sub(length)..).unwrap_or_default()
}
