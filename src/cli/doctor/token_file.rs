//! The mounted service-account token, held against the configuration before STS is asked.
//!
//! It is decoded and not verified: what it claims is shown and compared, and only STS decides on it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::super::policy::ServiceAccount;
use super::finding::Finding;
use super::report::Report;
use crate::clock::Timestamp;
use crate::credentials::plan::{OidcProviderArn, RoleArn};
use crate::error::diagnosis::{Names, Row, Sign};

/// The audience that STS takes (RRSA page).
const AUDIENCE: &str = "sts.aliyuncs.com";
/// What ACK names the OIDC provider of a cluster by, before the cluster's id.
const PROVIDER_PREFIX: &str = "ack-rrsa-";
/// What the subject of every service account begins with.
const SUBJECT_PREFIX: &str = "system:serviceaccount:";
/// The step of this file.
const STEP: &str = "token file";

/// What a token claims.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Claims {
    #[serde(default)]
    pub(in crate::cli) iss: String,
    #[serde(default)]
    sub: String,
    aud: Option<Audience>,
    exp: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    /// What the token in this file claims.
    pub(in crate::cli) fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}"))?;
        Self::decode(text.trim()).ok_or_else(|| "holds no JWT".to_owned())
    }

    fn decode(token: &str) -> Option<Self> {
        let payload = token.split('.').nth(1)?;
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    fn audiences(&self) -> &[String] {
        match &self.aud {
            None => &[],
            Some(Audience::One(one)) => std::slice::from_ref(one),
            Some(Audience::Several(several)) => several,
        }
    }

    /// What is wrong with it, the worst first.
    fn problems(&self, provider: &OidcProviderArn, now: Timestamp) -> Vec<(Sign, String)> {
        let mut problems = Vec::new();
        if !self.audiences().iter().any(|audience| audience == AUDIENCE) {
            problems.push((Sign::TokenAudience, format!("its audience is '{}'", self.audiences().join(", "))));
        }
        let name = provider.as_str().rsplit_once('/').map_or("", |(_, name)| name);
        if let Some(cluster) = name.strip_prefix(PROVIDER_PREFIX)
            && self.iss.rsplit_once('/').is_none_or(|(_, issued_for)| issued_for != cluster)
        {
            problems.push((Sign::TokenIssuer, format!("its issuer '{}' is not that of cluster {cluster}", self.iss)));
        }
        match self.exp.map(|expires| (expires, Timestamp::from_second(expires))) {
            None => problems.push((Sign::TokenExpired, "it does not say when it expires".to_owned())),
            Some((_, Err(_))) => problems.push((Sign::TokenExpired, "its expiry is no date".to_owned())),
            Some((expires, Ok(at))) if expires <= now.as_second() => {
                problems.push((Sign::TokenExpired, format!("it expired at {at}")));
            }
            Some(_) => {}
        }
        if !self.sub.starts_with(SUBJECT_PREFIX) {
            problems.push((Sign::TokenSubject, format!("its subject is '{}'", self.sub)));
        }
        problems
    }

    /// The doubt about a token of another service account than `policy` writes its trust policy for.
    fn stranger(&self, account: &ServiceAccount) -> Option<Finding> {
        let expected = account.subject();
        if self.sub == expected || !self.sub.starts_with(SUBJECT_PREFIX) {
            return None;
        }
        let text = format!("its subject is '{}', and `policy` writes the trust policy for '{expected}'", self.sub);
        Some(Finding::warning(STEP, text, Sign::TokenSubject).fix(
            "where the daemon runs as this service account, give --namespace and --service-account to `policy` and \
             `doctor`; else mount the token of the other one",
        ))
    }

    fn expiry(&self) -> Option<Timestamp> {
        Timestamp::from_second(self.exp?).ok()
    }
}

/// What a token is held against.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) role: &'a RoleArn,
    pub(super) provider: &'a OidcProviderArn,
    pub(super) account: &'a ServiceAccount,
}

/// Looks at the token before anybody is asked with it.
pub(super) fn examine(file: &Path, expected: &Expected<'_>, now: Timestamp, report: &mut Report) {
    let place = file.display();
    let Expected { role, provider, account } = expected;
    let claims = match Claims::read(file) {
        Ok(claims) => claims,
        Err(why) => return report.add(Finding::failed(STEP, format!("{place} {why}"), Sign::TokenFile)),
    };
    let problems = claims.problems(provider, now);
    let names = Names { role: Some(role.as_str()), ..Names::default() };
    for (sign, text) in &problems {
        let row = Row::of(*sign);
        let finding = Finding::failed(STEP, format!("{place}: {text}"), *sign);
        report.add(finding.fix(row.fix(&names)));
    }
    if problems.is_empty() {
        let finding = Finding::good(STEP, format!("{place} is of {}", claims.sub));
        report.add(finding.until(claims.expiry().unwrap_or(now), now));
    }
    report.add_all(claims.stranger(account));
    report.add(Finding::note(
        "trust policy",
        format!(
            "{role} must trust {} with oidc:iss = {}, oidc:aud = {AUDIENCE}, oidc:sub = {}",
            provider.as_str(),
            claims.iss,
            claims.sub
        ),
    ));
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use serde_json::{Value, json};

    use super::{Claims, URL_SAFE_NO_PAD};
    use crate::cli::policy::ServiceAccount;
    use crate::clock::Timestamp;
    use crate::credentials::plan::OidcProviderArn;
    use crate::error::diagnosis::Sign;

    fn good() -> Value {
        json!({
            "iss": "https://oidc-ack-cn-hangzhou.oss-cn-hangzhou.aliyuncs.com/c0123",
            "aud": ["sts.aliyuncs.com"],
            "sub": "system:serviceaccount:kube-system:acr-pull-proxy",
            "exp": 1000,
        })
    }

    fn claims(claim: &str, value: Value) -> Claims {
        let mut claims = good();
        claims[claim] = value;
        Claims::decode(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))).unwrap()
    }

    fn problems(claim: &str, value: Value) -> Vec<(Sign, String)> {
        let provider = OidcProviderArn::parse("acs:ram::111111111111:oidc-provider/ack-rrsa-c0123").unwrap();
        let now = Timestamp::from_second(500).unwrap();
        claims(claim, value).problems(&provider, now)
    }

    fn signs(claim: &str, value: Value) -> Vec<Sign> {
        problems(claim, value).into_iter().map(|(sign, _)| sign).collect()
    }

    #[test]
    fn each_wrong_claim_is_found_before_sts_is_asked() {
        assert_eq!(signs("aud", json!("sts.aliyuncs.com")), []);
        assert_eq!(signs("aud", json!(["https://kubernetes.default.svc"])), [Sign::TokenAudience]);
        assert_eq!(signs("iss", json!("https://kubernetes.default.svc")), [Sign::TokenIssuer]);
        assert_eq!(signs("exp", json!(500)), [Sign::TokenExpired]);
        assert_eq!(signs("sub", json!("somebody")), [Sign::TokenSubject]);
    }

    #[test]
    fn an_expiry_that_is_none_is_told_as_such() {
        for (exp, expected) in [
            (Value::Null, "it does not say when it expires"),
            (json!(i64::MAX), "its expiry is no date"),
            (json!(0), "it expired at 1970-01-01T00:00:00Z"),
        ] {
            let [(sign, text)] = <[_; 1]>::try_from(problems("exp", exp)).unwrap();
            assert_eq!((sign, text.as_str()), (Sign::TokenExpired, expected));
        }
    }

    #[test]
    fn the_token_of_another_service_account_is_a_doubt() {
        let account = |namespace: &str| ServiceAccount {
            namespace: namespace.to_owned(),
            service_account: "acr-pull-proxy".to_owned(),
        };
        let sub = "system:serviceaccount:kube-system:acr-pull-proxy";
        assert!(claims("sub", json!(sub)).stranger(&account("kube-system")).is_none());
        assert!(claims("sub", json!(sub)).stranger(&account("registry")).is_some());
        assert!(claims("sub", json!("somebody")).stranger(&account("registry")).is_none(), "that is told already");
    }

    #[test]
    fn what_is_no_jwt_is_none() {
        for text in ["", "a.b.c", "e30", "e30.e30x!.c"] {
            assert!(Claims::decode(text).is_none(), "{text}");
        }
    }
}
