//! Container Registry API: the login of an instance and its domains.
//!
//! Enterprise Edition is version 2018-12-01 (RPC), Personal Edition 2016-06-07 (ROA).

use std::sync::Arc;

use serde_json::Value;

use super::call::{About, Caller, request_id};
use super::credentials::Credentials;
use super::endpoints::{Endpoints, Region};
use super::error::{CloudError, Details, Problem};
use super::sign::{Operation, Style};
use super::time;
use crate::clock::Clock;
use crate::refresh::Expiring;
use crate::secret::Secret;
use crate::telemetry::metrics::Target;

const ENTERPRISE: &str = "2018-12-01";
const PERSONAL: &str = "2016-06-07";
const TOKEN_ACTION: &str = "GetAuthorizationToken";

/// The user and password of a registry login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationToken {
    /// `TempUsername`; documented with one value and seen with another, so it is what the answer says.
    pub user: String,
    /// `AuthorizationToken`; it may hold colons.
    pub password: Secret,
}

/// The API of one region.
#[derive(Debug)]
pub struct Cr {
    caller: Arc<Caller>,
    endpoints: Arc<Endpoints>,
    region: Option<Region>,
}

impl Cr {
    pub(crate) const fn new(caller: Arc<Caller>, endpoints: Arc<Endpoints>, region: Option<Region>) -> Self {
        Self { caller, endpoints, region }
    }

    /// The login of an Enterprise Edition instance. It carries the rights of `credentials` and dies with them.
    ///
    /// # Errors
    /// [`CloudError`] with the cloud's code and request id.
    pub async fn authorization_token(
        &self,
        instance: &str,
        credentials: &Credentials,
    ) -> Result<Expiring<AuthorizationToken>, CloudError> {
        let operation = instance_operation(TOKEN_ACTION, instance, credentials, &[]);
        let (answer, host) = self.call(&operation, instance).await?;
        self.login(&answer, ["TempUsername", "AuthorizationToken", "ExpireTime"])
            .ok_or_else(|| unreadable(&operation, host, instance, &answer))
    }

    /// The login of the Personal Edition of the region.
    ///
    /// # Errors
    /// [`CloudError`] with the cloud's code and request id.
    pub async fn personal_authorization_token(
        &self,
        credentials: &Credentials,
    ) -> Result<Expiring<AuthorizationToken>, CloudError> {
        let operation = Operation {
            action: TOKEN_ACTION,
            version: PERSONAL,
            style: Style::Roa("/tokens"),
            parameters: Vec::new(),
            credentials: Some(credentials),
        };
        let about = "the Personal Edition";
        let (answer, host) = self.call(&operation, about).await?;
        answer
            .get("data")
            .and_then(|data| self.login(data, ["tempUserName", "authorizationToken", "expireDate"]))
            .ok_or_else(|| unreadable(&operation, host, about, &answer))
    }

    /// The domains of an instance's enabled registry endpoints, VPC ones first.
    ///
    /// # Errors
    /// [`CloudError`] with the cloud's code and request id.
    pub async fn domains(&self, instance: &str, credentials: &Credentials) -> Result<Vec<String>, CloudError> {
        let operation =
            instance_operation("ListInstanceEndpoint", instance, credentials, &[("ModuleName", "Registry")]);
        let (answer, host) = self.call(&operation, instance).await?;
        domains_from(&answer).ok_or_else(|| unreadable(&operation, host, instance, &answer))
    }

    async fn call(&self, operation: &Operation<'_>, subject: &str) -> Result<(Value, String), CloudError> {
        let Some(endpoint) = self.endpoints.cr(self.region.as_ref()).await else {
            let problem = Problem::Impossible("the region is not known: set regionId of the instance");
            let (host, subject) = ("an unknown region".to_owned(), Some(subject.to_owned()));
            return Err(
                Details { action: operation.action, host, subject, caller: None, request_id: None, problem }.into()
            );
        };
        let answer = self.caller.call(&endpoint, operation, About { target: Target::Cr, subject }).await?;
        Ok((answer, endpoint.current().to_owned()))
    }

    fn login(&self, answer: &Value, [user, password, expires]: [&str; 3]) -> Option<Expiring<AuthorizationToken>> {
        let text = |name: &str| answer.get(name)?.as_str().filter(|text| !text.is_empty());
        let value = AuthorizationToken { user: text(user)?.to_owned(), password: text(password)?.into() };
        Some(Expiring { value, issued: self.caller.clock.now(), expires: time::epoch(answer.get(expires)?)? })
    }
}

fn instance_operation<'a>(
    action: &'static str,
    instance: &str,
    credentials: &'a Credentials,
    more: &[(&str, &str)],
) -> Operation<'a> {
    let mut parameters = vec![("InstanceId".to_owned(), instance.to_owned())];
    parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Operation { action, version: ENTERPRISE, style: Style::Rpc, parameters, credentials: Some(credentials) }
}

fn unreadable(operation: &Operation<'_>, host: String, subject: &str, answer: &Value) -> CloudError {
    let details = Details {
        action: operation.action,
        host,
        subject: Some(subject.to_owned()),
        caller: None,
        request_id: request_id(answer, operation),
        problem: Problem::Unreadable("the answer lacks documented fields"),
    };
    details.into()
}

/// Whether this is a name: what ends in a number is an address, in one of its spellings (URL standard, "ends in a number"),
/// and no answer of the cloud sends logins to one.
fn is_domain(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.starts_with(|char: char| char.is_ascii_lowercase()))
}

pub(super) fn domains_from(answer: &Value) -> Option<Vec<String>> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for endpoint in answer.get("Endpoints")?.as_array()? {
        if endpoint.get("Enable") == Some(&Value::Bool(false)) {
            continue;
        }
        let public = !text(endpoint, "EndpointType").eq_ignore_ascii_case("vpc");
        for domain in endpoint.get("Domains").and_then(Value::as_array).into_iter().flatten() {
            let name = text(domain, "Domain").trim().to_ascii_lowercase();
            if is_domain(&name) {
                found.push((public, name));
            }
        }
    }
    found.sort_by_key(|(public, _)| *public);
    let mut names: Vec<String> = Vec::new();
    for (_, name) in found {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::domains_from;

    #[test]
    fn domains_of_enabled_endpoints_come_vpc_first_and_once() {
        let answer = json!({"Endpoints": [
            {"EndpointType": "internet", "Enable": true, "Domains": [
                {"Domain": "demo-registry.cn-hangzhou.cr.aliyuncs.com", "Type": "SYSTEM"},
                {"Domain": "Images.example.com", "Type": "USER"}]},
            {"EndpointType": "VPC", "Enable": true, "Domains": [
                {"Domain": "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com", "Type": "SYSTEM"},
                {"Domain": "images.example.com", "Type": "USER"}]},
            {"EndpointType": "internet", "Enable": false, "Domains": [{"Domain": "off.example.com"}]}
        ]});
        assert_eq!(
            domains_from(&answer).unwrap(),
            [
                "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com",
                "images.example.com",
                "demo-registry.cn-hangzhou.cr.aliyuncs.com"
            ]
        );
        assert!(domains_from(&json!({})).is_none());
    }
}
