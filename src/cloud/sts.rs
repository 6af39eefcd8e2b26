//! Security Token Service, version 2015-04-01: `AssumeRole` and `AssumeRoleWithOIDC`.

use std::sync::Arc;

use serde_json::Value;

use super::call::{About, Caller, request_id};
use super::credentials::Credentials;
use super::endpoints::Endpoints;
use super::error::{CloudError, Details, Problem};
use super::sign::{Operation, Style};
use super::time;
use crate::clock::{Clock, Timestamp};
use crate::refresh::Expiring;
use crate::secret::Secret;
use crate::telemetry::metrics::Target;

const VERSION: &str = "2015-04-01";

/// What every kind of session is asked with.
#[derive(Debug, Clone, Copy)]
pub struct SessionRequest<'a> {
    /// `RoleArn`.
    pub role: &'a str,
    /// `RoleSessionName`, what the audit log shows.
    pub session_name: &'a str,
    /// `DurationSeconds`: 900 to the role's `MaxSessionDuration`.
    pub duration_seconds: u32,
    /// `Policy`: at most 2048 characters of JSON that narrow the session.
    pub policy: Option<&'a str>,
    /// `ExternalId`; not a parameter of `AssumeRoleWithOIDC`.
    pub external_id: Option<&'a str>,
}

/// The service, asked in the node's region.
#[derive(Debug)]
pub struct Sts {
    caller: Arc<Caller>,
    endpoints: Arc<Endpoints>,
}

impl Sts {
    pub(crate) const fn new(caller: Arc<Caller>, endpoints: Arc<Endpoints>) -> Self {
        Self { caller, endpoints }
    }

    /// A session of a role, asked by whoever holds `credentials`.
    ///
    /// # Errors
    /// [`CloudError`] with the cloud's code and request id.
    pub async fn assume_role(
        &self,
        request: SessionRequest<'_>,
        credentials: &Credentials,
    ) -> Result<Expiring<Credentials>, CloudError> {
        let mut parameters = parameters(request);
        parameters.extend(request.external_id.map(|id| ("ExternalId".to_owned(), id.to_owned())));
        self.session("AssumeRole", parameters, Some(credentials), request.role).await
    }

    /// A session of a role of the account that trusts the OIDC provider, asked with a service-account token.
    ///
    /// The call is not signed.
    ///
    /// # Errors
    /// [`CloudError`] with the cloud's code and request id.
    pub async fn assume_role_with_oidc(
        &self,
        request: SessionRequest<'_>,
        provider: &str,
        token: &Secret,
    ) -> Result<Expiring<Credentials>, CloudError> {
        let mut parameters = parameters(request);
        parameters.push(("OIDCProviderArn".to_owned(), provider.to_owned()));
        parameters.push(("OIDCToken".to_owned(), token.expose().to_owned()));
        self.session("AssumeRoleWithOIDC", parameters, None, request.role).await
    }

    async fn session(
        &self,
        action: &'static str,
        parameters: Vec<(String, String)>,
        credentials: Option<&Credentials>,
        role: &str,
    ) -> Result<Expiring<Credentials>, CloudError> {
        let endpoint = self.endpoints.sts().await;
        let operation = Operation { action, version: VERSION, style: Style::Rpc, parameters, credentials };
        let answer = self.caller.call(&endpoint, &operation, About { target: Target::Sts, subject: role }).await?;
        let issued = self.caller.clock.now();
        answer.get("Credentials").and_then(|triple| session_from(triple, issued)).ok_or_else(|| {
            let details = Details {
                action,
                host: endpoint.current().to_owned(),
                subject: Some(role.to_owned()),
                caller: None,
                request_id: request_id(&answer, &operation),
                problem: Problem::Unreadable("the answer holds no credentials"),
            };
            details.into()
        })
    }
}

fn parameters(request: SessionRequest<'_>) -> Vec<(String, String)> {
    let mut parameters = vec![
        ("RoleArn".to_owned(), request.role.to_owned()),
        ("RoleSessionName".to_owned(), request.session_name.to_owned()),
        ("DurationSeconds".to_owned(), request.duration_seconds.to_string()),
    ];
    parameters.extend(request.policy.map(|policy| ("Policy".to_owned(), policy.to_owned())));
    parameters
}

/// A triple as STS and the metadata service write it. It begins with `LastUpdated` where there is one, else now.
pub(crate) fn session_from(triple: &Value, now: Timestamp) -> Option<Expiring<Credentials>> {
    let text = |name: &str| triple.get(name)?.as_str().filter(|text| !text.is_empty());
    let value = Credentials {
        access_key_id: text("AccessKeyId")?.to_owned(),
        access_key_secret: text("AccessKeySecret")?.into(),
        security_token: Some(text("SecurityToken")?.into()),
    };
    let issued = text("LastUpdated").and_then(time::iso).map_or(now, |updated| updated.min(now));
    Some(Expiring { value, issued, expires: time::iso(text("Expiration")?)? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::session_from;
    use crate::cloud::time;

    #[test]
    fn the_documented_answers_are_read() {
        let now = time::iso("2026-01-02T03:04:05Z").unwrap();
        let mut triple = json!({
            "AccessKeyId": "STS.NTexampleAccessKeyId01",
            "AccessKeySecret": "exampleSecretKey0123456789abcd",
            "SecurityToken": "CAIS+example/token==",
            "Expiration": "2026-01-02T04:04:05Z"
        });
        let session = session_from(&triple, now).unwrap();
        assert_eq!(session.lifetime(), Duration::from_secs(3600));
        triple["LastUpdated"] = json!("2026-01-01T22:04:05Z");
        assert_eq!(session_from(&triple, now).unwrap().lifetime(), Duration::from_secs(6 * 3600));
    }

    #[test]
    fn half_a_triple_is_none() {
        let now = time::iso("2026-01-02T03:04:05Z").unwrap();
        assert!(session_from(&json!({"AccessKeyId": "a", "AccessKeySecret": "b"}), now).is_none());
        assert!(session_from(&json!(null), now).is_none());
    }
}
