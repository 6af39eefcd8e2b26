//! The token realm: a login in, a bearer out.
//!
//! `GET /auth` with Basic credentials. Nothing is said about repositories that do not exist: the registry knows. A login
//! without the right to pull still gets a bearer, one that allows nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Response, StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::ram::Directory;
use crate::settings::RealmHost;
use crate::shared::Shared;
use crate::store::Instance;

/// `iss` of every captured bearer.
const ISSUER: &str = "dockerauth.aliyuncs.com";

/// `nbf` lies this far before `iat` in every capture.
const NOT_BEFORE: SignedDuration = SignedDuration::from_secs(300);

/// What a good login opens.
pub(crate) struct Rights {
    /// The instance it is for, `None` for Personal Edition.
    pub(crate) instance_id: Option<String>,
    /// The region of the instance.
    pub(crate) region: String,
    /// Whether it may pull from a repository.
    pub(crate) may_pull: Box<dyn Fn(&str) -> bool>,
}

/// Looks a user and a password up; `None` when they are unknown or have ended.
pub(crate) type Logins = Box<dyn Fn(&str, &str, Timestamp) -> Option<Rights> + Send + Sync>;

/// The logins that the accounts gave out.
pub(crate) fn logins_of(directory: &Directory) -> Logins {
    let directory = directory.clone();
    Box::new(move |user, password, now| {
        let login = directory.login(user, password, now)?;
        Some(Rights {
            instance_id: login.instance_id.clone(),
            region: login.region.clone(),
            may_pull: Box::new(move |repository| login.may_pull(repository)),
        })
    })
}

/// The service.
pub(crate) struct Realm {
    shared: Shared,
    logins: Logins,
}

impl std::fmt::Debug for Realm {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Realm").finish_non_exhaustive()
    }
}

impl Realm {
    pub(crate) fn new(shared: &Shared, logins: Logins) -> Self {
        Self { shared: shared.clone(), logins }
    }

    /// Answers one request for a bearer.
    pub(crate) fn handle(&self, call: &Call) -> Answer {
        if !self.is_here(call) {
            return answer(StatusCode::NOT_FOUND, &json!({ "error": "not found" }));
        }
        if call.method != Method::GET {
            return answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method not allowed" }));
        }
        let mut service = None;
        let mut scopes = Vec::new();
        for (name, value) in parameters(call.uri.query().unwrap_or_default()) {
            match name.as_str() {
                "service" => service = Some(value),
                "scope" => scopes.push(value),
                _ => {}
            }
        }
        let instance = service.and_then(|service| self.shared.store.by_service(&service));
        let (Some(instance), false) = (instance, scopes.iter().any(String::is_empty)) else {
            return answer(StatusCode::BAD_REQUEST, &json!({ "error": "bad request" }));
        };
        let rights = match self.rights(call, &instance) {
            Ok(rights) => rights,
            Err(()) => {
                let error = json!({ "code": "UNAUTHORIZED", "message": "authentication required", "detail": null });
                return answer(StatusCode::UNAUTHORIZED, &json!({ "errors": [error] }));
            }
        };
        let subject = if call.headers.contains_key(AUTHORIZATION) { "cr_temp_user" } else { "" };
        self.bearer(call.now, &instance, subject, &access(&scopes, rights.as_ref()))
    }

    /// Whether the path is that of the realm: `/auth`, or what a scripted realm URL says.
    fn is_here(&self, call: &Call) -> bool {
        let settings = self.shared.settings.now();
        let scripted = match &settings.realm.host {
            RealmHost::Url(url) => url.parse::<Uri>().ok(),
            _ => None,
        };
        call.uri.path() == scripted.as_ref().map_or("/auth", Uri::path)
    }

    /// The rights of the login that came; `Ok(None)` without any.
    fn rights(&self, call: &Call, instance: &Instance) -> Result<Option<Rights>, ()> {
        let Some(header) = call.header(AUTHORIZATION.as_str()) else { return Ok(None) };
        let (scheme, encoded) = header.split_once(' ').ok_or(())?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(());
        }
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| ())?;
        let decoded = String::from_utf8(decoded).map_err(|_| ())?;
        // The password holds colons of its own: only the first one separates.
        let (user, password) = decoded.split_once(':').ok_or(())?;
        let rights = (self.logins)(user, password, call.now).ok_or(())?;
        let for_this_one = rights.instance_id == instance.spec.instance_id && rights.region == instance.spec.region;
        if for_this_one { Ok(Some(rights)) } else { Err(()) }
    }

    fn bearer(&self, now: Timestamp, instance: &Instance, subject: &str, access: &[Value]) -> Answer {
        let settings = self.shared.settings.now();
        let jwt = self.sign(now, instance, subject, access);
        let mut body = json!({ "access_token": jwt, "token": jwt });
        if settings.realm.says_expiry {
            body["expires_in"] = json!(settings.realm.bearer_lifetime.as_secs());
            body["issued_at"] = json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        }
        answer(StatusCode::OK, &body)
    }

    /// A bearer that may pull from `repository`, without a login.
    pub(crate) fn grant(&self, now: Timestamp, instance: &Instance, repository: &str) -> String {
        let access = json!({ "type": "repository", "name": repository, "actions": ["pull"] });
        self.sign(now, instance, "cr_temp_user", &[access])
    }

    fn sign(&self, now: Timestamp, instance: &Instance, subject: &str, access: &[Value]) -> String {
        let lifetime = self.shared.settings.now().realm.bearer_lifetime;
        let jwt = self.shared.key.sign(&json!({
            "iss": ISSUER,
            "aud": instance.service,
            "sub": subject,
            "iat": now.as_second(),
            "nbf": (now - NOT_BEFORE).as_second(),
            "exp": (now + lifetime).as_second(),
            "jti": self.shared.generation.stamp(),
            "access": access,
        }));
        self.shared.ledger.note(&jwt);
        jwt
    }
}

/// The `access` claim: for each scope asked for, `pull` where it was asked for and is allowed. Nothing else is ever granted.
fn access(scopes: &[String], rights: Option<&Rights>) -> Vec<Value> {
    let each = scopes.iter().flat_map(|scope| scope.split(' ')).filter_map(|scope| {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let asked = kind == "repository" && actions.split(',').any(|action| action == "pull");
        let granted = asked && rights.is_some_and(|rights| (rights.may_pull)(name));
        let actions: &[&str] = if granted { &["pull"] } else { &[] };
        Some(json!({ "type": kind, "name": name, "actions": actions }))
    });
    each.collect()
}

fn parameters(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(move |pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(move |(name, value)| (decode(name), decode(value)))
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, "application/json; charset=utf-8")
        .body(format!("{body}\n").into())
        .unwrap_or_default()
}
