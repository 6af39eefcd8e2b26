//! The registry's door: the challenge it answers with, and the bearers it lets in.
//!
//! A bearer is verified in full (signature, time, audience, access); what was verified once is remembered, since an RSA
//! verification per request would be what a benchmark measures.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::API_VERSION;
use crate::call::{Answer, Call};
use crate::generation::Generation;
use crate::jwt::SigningKey;
use crate::settings::RealmHost;
use crate::store::Instance;

/// Verified bearers are forgotten all at once when there are this many.
const MOST_REMEMBERED: usize = 4_096;

/// The claims of a registry bearer.
#[derive(Debug, Clone, Deserialize)]
struct Claims {
    aud: String,
    jti: String,
    nbf: i64,
    exp: i64,
    access: Vec<Access>,
}

#[derive(Debug, Clone, Deserialize)]
struct Access {
    r#type: String,
    name: String,
    actions: Vec<String>,
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No bearer came.
    Missing,
    /// The bearer is forged, for another service, too old or too young.
    Invalid,
    /// The bearer is good and does not cover what was asked.
    InsufficientScope,
}

/// The door.
#[derive(Debug)]
pub(crate) struct Door {
    key: &'static SigningKey,
    verified: Mutex<HashMap<String, Arc<Claims>>>,
    generation: Generation,
}

impl Door {
    pub(crate) fn new(key: &'static SigningKey, generation: Generation) -> Self {
        Self { key, verified: Mutex::default(), generation }
    }

    /// Lets a request in that may pull from `repository`; with `None` any good bearer will do.
    pub(crate) fn admit(&self, call: &Call, instance: &Instance, repository: Option<&str>) -> Result<(), Refused> {
        let value = call.header(AUTHORIZATION.as_str()).ok_or(Refused::Missing)?;
        let (scheme, bearer) = value.split_once(' ').ok_or(Refused::Invalid)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refused::Invalid);
        }
        let claims = self.claims(bearer.trim()).ok_or(Refused::Invalid)?;
        let now = call.now.as_second();
        let revoked = !self.generation.is_current(&claims.jti);
        if claims.aud != instance.service || now < claims.nbf || now >= claims.exp || revoked {
            return Err(Refused::Invalid);
        }
        let covers = |name: &str| {
            claims.access.iter().any(|access| {
                access.r#type == "repository"
                    && access.name == name
                    && access.actions.iter().any(|action| action == "pull")
            })
        };
        if repository.is_none_or(covers) { Ok(()) } else { Err(Refused::InsufficientScope) }
    }

    fn claims(&self, bearer: &str) -> Option<Arc<Claims>> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = verified.get(bearer) {
            return Some(Arc::clone(claims));
        }
        let claims: Claims = serde_json::from_value(self.key.verify(bearer).ok()?).ok()?;
        let claims = Arc::new(claims);
        if verified.len() >= MOST_REMEMBERED {
            verified.clear();
        }
        verified.insert(bearer.to_owned(), Arc::clone(&claims));
        Some(claims)
    }
}

/// The 401 that sends a client to the realm.
pub(crate) fn challenge(
    call: &Call,
    instance: &Instance,
    host: &RealmHost,
    repository: Option<&str>,
    why: Refused,
) -> Answer {
    use std::fmt::Write as _;
    let mut header =
        format!("Bearer realm=\"{}\",service=\"{}\"", realm_url(host, instance, &call.host), instance.service);
    let mut detail = json!(null);
    if let Some(name) = repository {
        // Writing to a String cannot fail.
        write!(header, ",scope=\"repository:{name}:pull\"").ok();
        detail = json!([{ "Type": "repository", "Class": "", "Name": name, "Action": "pull" }]);
    }
    header.push_str(match why {
        Refused::Missing => "",
        Refused::Invalid => ",error=\"invalid_token\"",
        Refused::InsufficientScope => ",error=\"insufficient_scope\"",
    });
    let error = json!({ "code": "UNAUTHORIZED", "message": "authentication required", "detail": detail });
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header(API_VERSION, "registry/2.0")
        .header(WWW_AUTHENTICATE, header)
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .body(format!("{}\n", json!({ "errors": [error] })).into())
        .unwrap_or_default()
}

/// The realm a challenge on `domain` names.
pub(crate) fn realm_url(host: &RealmHost, instance: &Instance, domain: &str) -> String {
    let region = &instance.spec.region;
    let vpc = if is_vpc(domain) { "-vpc" } else { "" };
    let host = match host {
        RealmHost::Standard => format!("dockerauth{vpc}.{region}.aliyuncs.com"),
        RealmHost::Enterprise => format!("dockerauth-ee{vpc}.{region}.aliyuncs.com"),
        RealmHost::Hyphen => format!("dockerauth-{region}.aliyuncs.com"),
        RealmHost::Legacy => "dockerauth.aliyuncs.com".to_owned(),
        RealmHost::RegistryItself => domain.to_owned(),
        RealmHost::Url(url) => return url.clone(),
    };
    format!("https://{host}/auth")
}

/// Whether a registry domain is one of the VPC forms (`...-registry-vpc...`, `registry-vpc...`).
pub(crate) fn is_vpc(domain: &str) -> bool {
    domain.split('.').next().is_some_and(|label| label.ends_with("-vpc"))
}
