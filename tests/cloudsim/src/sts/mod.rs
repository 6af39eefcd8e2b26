//! The Security Token Service, version 2015-04-01: AssumeRole, AssumeRoleWithOIDC, GetCallerIdentity.
//!
//! Owns what STS reads from a request and how it answers. Who may assume what is decided by the directory.

mod parameters;
#[cfg(test)]
mod tests;

use http::Method;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::date;
use crate::openapi::{self, Fault, Format};
use crate::ram::{Assumed, Caller, Directory, Identity, OidcToken};
use crate::sign::{self, Parameters, Refusal};

const VERSION: &str = "2015-04-01";

/// Answers one request to any STS endpoint; STS is one service for all regions.
#[must_use]
pub fn handle(directory: &Directory, call: &Call) -> Answer {
    let parameters = sign::parameters(call);
    let format = Format::asked_for(call, &parameters);
    let action = named(call, &parameters, "x-acs-action", "Action");
    directory.count_call(action);
    match answer(directory, call, &parameters, action) {
        Ok(fields) => openapi::success(call, format, action, fields),
        Err(fault) => openapi::failure(call, format, &fault),
    }
}

fn answer(directory: &Directory, call: &Call, parameters: &Parameters, action: &str) -> Result<Value, Fault> {
    if call.method != Method::GET && call.method != Method::POST {
        return Err(Fault::bad_request("UnsupportedHTTPMethod", "This http method is not supported."));
    }
    if named(call, parameters, "x-acs-version", "Version") != VERSION {
        return Err(Fault::unknown_version());
    }
    match action {
        "AssumeRole" => {
            let (claim, caller) = directory.authenticate(call)?;
            let request = parameters::session_request(&claim.parameters)?;
            directory.assume_role(&caller, &request, call.now).map(|assumed| session(&assumed))
        }
        "AssumeRoleWithOIDC" => assume_role_with_oidc(directory, call, parameters),
        "GetCallerIdentity" => {
            let (_, caller) = directory.authenticate(call)?;
            Ok(caller_identity(&caller))
        }
        _ => Err(Fault::unknown_action()),
    }
}

/// Nobody signs this call: the token is the proof. The date is demanded all the same.
fn assume_role_with_oidc(directory: &Directory, call: &Call, parameters: &Parameters) -> Result<Value, Fault> {
    let timestamp = named(call, parameters, "x-acs-date", "Timestamp");
    if timestamp.is_empty() {
        return Err(Fault::missing("Timestamp"));
    }
    // Whether the real service holds an unsigned date to the window is not documented; a client must be able to.
    if call.now.duration_since(sign::timestamp(timestamp)?).abs() > sign::CLOCK_WINDOW {
        return Err(Refusal::TimestampExpired.into());
    }
    let request = parameters::session_request(parameters)?;
    let (provider, token) = parameters::oidc(parameters)?;
    let (assumed, token) = directory.assume_role_with_oidc(provider, token, &request, call.now)?;
    let mut fields = session(&assumed);
    fields["OIDCTokenInfo"] = token_info(&token);
    Ok(fields)
}

fn session(assumed: &Assumed) -> Value {
    let Assumed { arn, id, credentials } = assumed;
    json!({
        "AssumedRoleUser": { "Arn": arn, "AssumedRoleId": id },
        "Credentials": {
            "AccessKeyId": credentials.access_key_id,
            "AccessKeySecret": credentials.access_key_secret,
            "SecurityToken": credentials.security_token,
            "Expiration": date::iso(credentials.expiration),
        },
    })
}

fn token_info(token: &OidcToken) -> Value {
    json!({
        "Issuer": token.issuer,
        "Subject": token.subject,
        "ClientIds": token.audiences.join(","),
        "ExpirationTime": date::iso(token.expires),
        "IssuanceTime": date::iso(token.issued),
        "VerificationInfo": "Success",
    })
}

/// A session is reported as `assumed-role/…` here, and as `role/…` by AssumeRole: documented, and not to be compared.
fn caller_identity(caller: &Caller) -> Value {
    let (kind, arn) = match &caller.identity {
        Identity::Root => ("Account", caller.arn()),
        Identity::User { arn } => ("RAMUser", arn.clone()),
        Identity::Session { role_arn, name } => {
            ("AssumedRoleUser", format!("{}/{name}", role_arn.replacen(":role/", ":assumed-role/", 1)))
        }
    };
    json!({ "AccountId": caller.account, "Arn": arn, "IdentityType": kind })
}

/// What V3 says in a header and the older forms in a parameter; empty where neither does.
fn named<'a>(call: &'a Call, parameters: &'a Parameters, header: &str, parameter: &str) -> &'a str {
    call.header(header).or_else(|| sign::parameter(parameters, parameter)).unwrap_or_default()
}
