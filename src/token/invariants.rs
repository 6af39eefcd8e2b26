//! What holds for every answer of a realm, and for every realm that a registry names.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::answer::read;
use super::realm::Realm;
use crate::clock::{Timestamp, later};
use crate::oci::{Challenge, RegistryHost, RepositoryName, Scope};

/// A day, which no bearer is believed to outlive.
const DAY: Duration = Duration::from_hours(24);

/// The answer of a realm, JWT included.
pub(crate) fn bearer_answer(data: &[u8]) {
    let Ok(repository) = RepositoryName::parse("team/app") else { return };
    let now = later(Timestamp::UNIX_EPOCH, Duration::from_secs(1_767_323_045));
    let Some(granted) = read(data, &Scope::pull(repository), now) else { return };
    assert!(!granted.token.is_empty(), "a bearer without a token");
    assert!(granted.lifetime > Duration::ZERO && granted.lifetime < DAY, "it lives {:?}", granted.lifetime);
    // Eight characters stand nowhere by chance.
    let token = granted.token.expose();
    assert!(token.len() < 8 || !format!("{granted:?}").contains(token), "the bearer is shown");
}

/// The claims of a bearer, in an answer that says nothing else.
pub(crate) fn claims(data: &[u8]) {
    let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(data));
    bearer_answer(format!(r#"{{"token":"{token}"}}"#).as_bytes());
}

/// A challenge as a registry that is not to be trusted writes it.
pub(crate) fn realm(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(challenge) = Challenge::bearer([text]) else { return };
    let Ok(registry) = RegistryHost::parse("demo-registry.cn-hangzhou.cr.aliyuncs.com") else { return };
    let Ok(realm) = Realm::accept(&challenge, &registry, &["auth.example.com:8443".to_owned()]) else { return };
    let origin = realm.uri.origin();
    let place = (origin.host(), origin.port());
    let alibaba = |host: &str| {
        let rest = host.strip_prefix("dockerauth").and_then(|rest| rest.strip_suffix(".aliyuncs.com"));
        // One label or two, the last of them no service whose customers choose the first.
        let label = rest.map(|rest| rest.rsplit('.').next().unwrap_or_default());
        rest.is_some_and(|rest| rest.matches('.').count() <= 1) && label.is_some_and(|label| !label.starts_with("oss-"))
    };
    let known = place == (registry.as_str(), 443)
        || place == ("auth.example.com", 8443)
        || (place.1 == 443 && alibaba(place.0));
    assert!(origin.is_https() && known, "{origin} may receive the login");
}
