//! What the token realm answers: the bearer, how long it lives, and whether it may pull. Pure.
//!
//! The answer may lack `expires_in`, whose default in the distribution spec is a minute, while the JWT inside lives ten:
//! so the JWT is read. Its signature is the registry's business; what is read here only spares a request that would fail.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::oci::Scope;
use crate::secret::Secret;

/// A bearer is given up this long before its end, so that it survives the request it is attached to.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a bearer lives that does not say (distribution spec, token authentication: `expires_in`).
const UNSAID: Duration = Duration::from_secs(60);
/// No bearer is believed to live longer than a day.
const LONGEST: u64 = 86_400;
/// Epoch values from here on are milliseconds: as seconds this would be the year 5138, as milliseconds it is 1973.
const LEAST_MILLISECONDS: f64 = 1e11;

/// A bearer as it was answered.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) token: Secret,
    /// How long it may be used, margin taken off.
    pub(super) lifetime: Duration,
    /// Whether it holds the right that was asked for; a token that does not say counts as one that does.
    pub(super) may_pull: bool,
}

/// The answer, or the claims of the JWT in it. A field that is of no documented kind counts as absent: a realm must not
/// stop every pull by writing a number in quotes.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Fields {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Value,
    iat: Value,
    exp: Value,
    access: Value,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// Reads the realm's answer, which came at `now`; `None` where there is no token in it.
pub(super) fn read(body: &[u8], scope: &Scope, now: Timestamp) -> Option<Granted> {
    let answer: Fields = serde_json::from_slice(body).ok()?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let claims = claims(&token).unwrap_or_default();
    let whole = lifetime(&claims, now).or_else(|| seconds(&answer.expires_in)).map_or(UNSAID, Duration::from_secs);
    let access: Option<Vec<Access>> = serde_json::from_value(claims.access).ok();
    let may_pull = access.is_none_or(|access| access.iter().any(|access| access.allows_pull(scope)));
    Some(Granted { token: token.into(), lifetime: whole - MARGIN.min(whole / 2), may_pull })
}

/// How long a JWT is good, in seconds. `nbf` says nothing about it: it lies minutes before `iat`.
///
/// From `iat` to `exp` both ends are the issuer's and nobody's clock matters; but a realm may hand out a token that it
/// issued a while ago, so that what is left by our clock counts where that is less.
fn lifetime(claims: &Fields, now: Timestamp) -> Option<u64> {
    let expires = numeric_date(&claims.exp)?;
    let left = u64::try_from(expires.saturating_sub(now.as_second())).ok().filter(|left| *left > 0);
    let said = numeric_date(&claims.iat).and_then(|issued| u64::try_from(expires.saturating_sub(issued)).ok());
    // Dead by our clock and alive by its own account: then it is our clock that is wrong.
    let lifetime = match (said.filter(|said| *said > 0), left) {
        (Some(said), Some(left)) => said.min(left),
        (said, left) => said.or(left)?,
    };
    Some(lifetime.min(LONGEST))
}

/// Seconds since 1970 (RFC 7519, NumericDate, which may have a fraction); milliseconds are told by their size.
fn numeric_date(value: &Value) -> Option<i64> {
    let number = value.as_f64().filter(|number| (0.0..1e15).contains(number))?;
    let number = if number < LEAST_MILLISECONDS { number } else { number / 1000.0 };
    #[expect(clippy::cast_possible_truncation, reason = "it was held to the range just now")]
    Some(number as i64)
}

/// `expires_in`: a number of seconds, also in quotes.
fn seconds(value: &Value) -> Option<u64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of floats is held to the range"
    )]
    Some(number as u64).filter(|seconds| *seconds > 0).map(|seconds| seconds.min(LONGEST))
}

impl Access {
    fn allows_pull(&self, scope: &Scope) -> bool {
        self.kind == "repository"
            && self.name == scope.repository().as_str()
            && self.actions.iter().any(|action| action == "pull" || action == "*")
    }
}

/// The payload of a JWT, unverified; `None` where the token is none.
fn claims(token: &str) -> Option<Fields> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::{Granted, read};
    use crate::clock::Timestamp;
    use crate::oci::{RepositoryName, Scope};

    fn granted(answer: &Value) -> Option<Granted> {
        granted_at(1000, answer)
    }

    fn granted_at(now: i64, answer: &Value) -> Option<Granted> {
        let scope = Scope::pull(RepositoryName::parse("team/app").unwrap());
        read(answer.to_string().as_bytes(), &scope, Timestamp::from_second(now).unwrap())
    }

    /// Seconds that a JWT with these claims, answered without `expires_in` at the time 1000, may be used.
    fn life(claims: &Value) -> u64 {
        granted(&json!({"token": jwt(claims)})).unwrap().lifetime.as_secs()
    }

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn the_life_of_the_jwt_counts_not_the_default_of_a_minute() {
        let token = jwt(&json!({"iat": 1000, "nbf": 700, "exp": 1600}));
        assert_eq!(granted(&json!({"token": token})).unwrap().lifetime.as_secs(), 540);
        assert_eq!(granted(&json!({"access_token": token, "expires_in": 5})).unwrap().lifetime.as_secs(), 540);
    }

    #[test]
    fn every_form_of_a_numeric_date_is_read() {
        assert_eq!(life(&json!({"iat": 1000.25, "exp": 1600.75})), 540);
        let (seconds, now) = (1_767_323_045_i64, 1_767_323_045_i64);
        for (iat, exp) in [(seconds, seconds + 600), (seconds * 1000, (seconds + 600) * 1000)] {
            let answer = json!({"token": jwt(&json!({"iat": iat, "exp": exp}))});
            assert_eq!(granted_at(now, &answer).unwrap().lifetime.as_secs(), 540, "{iat}");
        }
    }

    #[test]
    fn without_iat_our_clock_counts_and_nbf_never_does() {
        assert_eq!(life(&json!({"nbf": 700, "exp": 1600})), 540);
        assert_eq!(life(&json!({"nbf": 5000, "iat": 1000, "exp": 1600})), 540);
    }

    #[test]
    fn a_token_from_the_realms_own_cache_lives_for_what_is_left() {
        assert_eq!(life(&json!({"iat": 700, "exp": 1300})), 240);
    }

    #[test]
    fn a_token_that_looks_dead_by_our_clock_lives_as_long_as_it_says() {
        assert_eq!(life(&json!({"iat": 100, "exp": 700})), 540);
    }

    #[test]
    fn lives_that_make_no_sense_are_no_reason_to_fail() {
        assert_eq!(life(&json!({"iat": 1600, "exp": 900})), 30, "a life below zero");
        assert_eq!(life(&json!({"iat": 1000, "exp": 1e300})), 30, "the end of time");
        assert_eq!(life(&json!({"iat": 1000, "exp": 9_000_000_000_i64})), 86_340);
        assert_eq!(life(&json!({"iat": "1000", "exp": "never", "access": 7})), 30);
        for expires_in in [json!(-5), json!(null), json!("soon"), json!([])] {
            let answer = json!({"token": "opaque", "expires_in": expires_in});
            assert_eq!(granted(&answer).unwrap().lifetime.as_secs(), 30, "{answer}");
        }
        for (expires_in, seconds) in [(json!("300"), 240), (json!(300.5), 240), (json!(1e300), 86_340)] {
            let answer = json!({"token": "opaque", "expires_in": expires_in});
            assert_eq!(granted(&answer).unwrap().lifetime.as_secs(), seconds, "{answer}");
        }
    }

    #[test]
    fn without_a_jwt_the_answer_counts_and_without_that_a_minute() {
        assert_eq!(granted(&json!({"token": "opaque", "expires_in": 300})).unwrap().lifetime.as_secs(), 240);
        assert_eq!(granted(&json!({"token": "opaque"})).unwrap().lifetime.as_secs(), 30);
        assert_eq!(granted(&json!({"token": "a.!.c", "expires_in": 0})).unwrap().lifetime.as_secs(), 30);
        assert_eq!(granted(&json!({"token": "x", "expires_in": u64::MAX})).unwrap().lifetime.as_secs(), 86_340);
    }

    #[test]
    fn a_token_without_the_right_to_pull_says_so() {
        let with = |access: Value| granted(&json!({"token": jwt(&json!({"access": access}))})).unwrap().may_pull;
        assert!(with(json!([{"type": "repository", "name": "team/app", "actions": ["pull"]}])));
        assert!(!with(json!([])));
        assert!(!with(json!([{"type": "repository", "name": "team/app", "actions": []}])));
        assert!(!with(json!([{"type": "repository", "name": "team/other", "actions": ["pull"]}])));
        assert!(granted(&json!({"token": "opaque"})).unwrap().may_pull);
    }

    #[test]
    fn an_answer_without_a_token_is_none() {
        for answer in [json!({}), json!({"token": ""}), json!([]), json!("token")] {
            assert!(granted(&answer).is_none(), "{answer}");
        }
    }
}
