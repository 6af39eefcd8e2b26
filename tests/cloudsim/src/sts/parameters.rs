//! The parameters of AssumeRole and AssumeRoleWithOIDC, held to their documented limits.

use std::ops::RangeInclusive;

use crate::openapi::Fault;
use crate::ram::{Policy, SessionRequest, parse_arn};
use crate::sign::{Parameters, parameter};

/// Characters in a session name.
const SESSION_NAME: RangeInclusive<usize> = 2..=64;
/// Characters in an inline policy.
const POLICY: RangeInclusive<usize> = 1..=2048;
/// Characters in an ExternalId.
const EXTERNAL_ID: RangeInclusive<usize> = 2..=1224;
/// Characters in an OIDC token.
const OIDC_TOKEN: RangeInclusive<usize> = 4..=20_000;

/// What both calls have in common.
pub(super) fn session_request(parameters: &Parameters) -> Result<SessionRequest, Fault> {
    let role_arn = required(parameters, "RoleArn")?;
    if parse_arn(role_arn, "role").is_none() {
        return Err(invalid("InvalidParameter.RoleArn", "RoleArn"));
    }
    let session_name = required(parameters, "RoleSessionName")?;
    if !consists_of(session_name, &SESSION_NAME, b".@-_") {
        return Err(invalid("InvalidParameter.RoleSessionName", "RoleSessionName"));
    }
    let external_id = parameter(parameters, "ExternalId");
    if external_id.is_some_and(|id| !consists_of(id, &EXTERNAL_ID, b"_+=,.@:/-")) {
        return Err(invalid("InvalidParameter", "ExternalId"));
    }
    Ok(SessionRequest {
        role_arn: role_arn.to_owned(),
        session_name: session_name.to_owned(),
        duration: duration(parameters)?,
        policy: parameter(parameters, "Policy").map(policy).transpose()?,
        external_id: external_id.map(str::to_owned),
    })
}

/// Provider and token.
pub(super) fn oidc(parameters: &Parameters) -> Result<(&str, &str), Fault> {
    let provider = required(parameters, "OIDCProviderArn")?;
    if parse_arn(provider, "oidc-provider").is_none() {
        return Err(invalid("InvalidParameter", "OIDCProviderArn"));
    }
    let token = required(parameters, "OIDCToken")?;
    match OIDC_TOKEN.contains(&token.len()) {
        true => Ok((provider, token)),
        false => Err(invalid("InvalidParameter", "OIDCToken")),
    }
}

fn duration(parameters: &Parameters) -> Result<Option<u32>, Fault> {
    let text = parameter(parameters, "DurationSeconds").filter(|text| !text.is_empty());
    // The limits are the role's and come later; here it only has to be a number.
    let number = text.map(str::parse).transpose();
    number.map_err(|_| invalid("InvalidParameter.DurationSeconds", "DurationSeconds"))
}

fn policy(text: &str) -> Result<Policy, Fault> {
    if !POLICY.contains(&text.chars().count()) {
        return Err(Fault::bad_request("InvalidParameter.PolicySize", "The size of Policy must be within 1 to 2048."));
    }
    Policy::parse(text).map_err(|_| {
        Fault::bad_request("InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check.")
    })
}

fn required<'p>(parameters: &'p Parameters, name: &str) -> Result<&'p str, Fault> {
    parameter(parameters, name).filter(|value| !value.is_empty()).ok_or_else(|| Fault::missing(name))
}

fn consists_of(text: &str, length: &RangeInclusive<usize>, punctuation: &[u8]) -> bool {
    length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || punctuation.contains(&b))
}

fn invalid(code: &'static str, name: &str) -> Fault {
    Fault::bad_request(code, format!("The parameter {name} is wrongly formed."))
}
