//! What the token realm answers: the bearer, how long it lives, and whether it may pull. Pure.
//!
//! The answer may lack `expires_in`, whose default in the distribution spec is a minute, while the JWT inside lives ten:
//! so the JWT is read. Its signature is the registry's business; what is read here only spares a request that would fail.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::oci::Scope;
use crate::secret::Secret;

/// A bearer is given up this long before its end, so that it survives the request it is attached to.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a bearer lives that does not say (distribution spec, token authentication: `expires_in`).
const UNSAID: Duration = Duration::from_secs(60);
/// No bearer is believed to live longer than a day.
const LONGEST: u64 = 86_400;

/// A bearer as it was answered.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) token: Secret,
    /// How long it may be used, margin taken off.
    pub(super) lifetime: Duration,
    /// Whether it holds the right that was asked for; a token that does not say counts as one that does.
    pub(super) may_pull: bool,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// The claims of interest; the others are nobody's business here.
#[derive(Deserialize, Default)]
struct Claims {
    iat: Option<i64>,
    nbf: Option<i64>,
    exp: Option<i64>,
    access: Option<Vec<Access>>,
}

#[derive(Deserialize)]
struct Access {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

/// Reads the realm's answer; `None` where there is no token in it.
pub(super) fn read(body: &[u8], scope: &Scope) -> Option<Granted> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let claims = claims(&token).unwrap_or_default();
    // Both ends are the issuer's: the difference does not depend on anybody's clock.
    let said = match (claims.iat.or(claims.nbf), claims.exp) {
        (Some(issued), Some(expires)) => u64::try_from(expires.saturating_sub(issued)).ok(),
        _ => None,
    };
    let said = said.or(answer.expires_in).filter(|seconds| *seconds > 0);
    let whole = said.map_or(UNSAID, |seconds| Duration::from_secs(seconds.min(LONGEST)));
    let may_pull = claims.access.is_none_or(|access| access.iter().any(|access| access.allows_pull(scope)));
    Some(Granted { token: token.into(), lifetime: whole - MARGIN.min(whole / 2), may_pull })
}

impl Access {
    fn allows_pull(&self, scope: &Scope) -> bool {
        self.kind == "repository"
            && self.name == scope.repository().as_str()
            && self.actions.iter().any(|action| action == "pull" || action == "*")
    }
}

/// The payload of a JWT, unverified; `None` where the token is none.
fn claims(token: &str) -> Option<Claims> {
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
    use crate::oci::{RepositoryName, Scope};

    fn granted(answer: &Value) -> Option<Granted> {
        read(answer.to_string().as_bytes(), &Scope::pull(RepositoryName::parse("team/app").unwrap()))
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
