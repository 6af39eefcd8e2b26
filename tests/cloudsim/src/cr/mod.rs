//! Container Registry's OpenAPI: the 2018-12-01 version for Enterprise Edition (RPC) and the 2016-06-07 version for
//! Personal Edition (ROA).
//!
//! Owns what these calls read and answer. An instance is known in its own region only, and to its own account only.

#[cfg(test)]
mod tests;

use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::call::{Answer, Call};
use crate::issue;
use crate::openapi::{self, Fault, Format};
use crate::ram::{Caller, Directory, Instance, LoginScope};
use crate::sign::{self, Claim};

const ENTERPRISE: &str = "2018-12-01";
const PERSONAL: &str = "2016-06-07";
const TOKENS: &str = "/tokens";

/// Answers one request to `cr.<region>.aliyuncs.com` or `cr-vpc.<region>.aliyuncs.com`.
#[must_use]
pub fn handle(directory: &Directory, call: &Call) -> Answer {
    match call.uri.path() {
        TOKENS => personal(directory, call),
        _ => enterprise(directory, call),
    }
}

fn enterprise(directory: &Directory, call: &Call) -> Answer {
    let parameters = sign::parameters(call);
    let format = Format::asked_for(call, &parameters);
    let action = call.header("x-acs-action").or_else(|| sign::parameter(&parameters, "Action")).unwrap_or_default();
    directory.count_call(action);
    match enterprise_answer(directory, call) {
        Ok(fields) => openapi::success(call, format, action, fields),
        Err(fault) => openapi::failure(call, format, &fault),
    }
}

/// Fields of the answer. A failure of the business itself is one of them: HTTP 200 with `IsSuccess: false`.
fn enterprise_answer(directory: &Directory, call: &Call) -> Result<Value, Fault> {
    let (claim, caller) = directory.authenticate(call)?;
    if claim.version != ENTERPRISE {
        return Err(Fault::unknown_version());
    }
    let known = ["GetAuthorizationToken", "ListInstanceEndpoint"];
    if !known.contains(&claim.action.as_str()) {
        return Err(Fault::unknown_action());
    }
    let region = region(call)?;
    let id = claim.parameter("InstanceId").filter(|id| !id.is_empty()).ok_or_else(|| Fault::missing("InstanceId"))?;
    let resource = format!("acs:cr:{region}:{}:instance/{id}", caller.account);
    require(directory, &caller, &format!("cr:{}", claim.action), &resource)?;
    let Some(instance) = directory.instance_of(&caller, id, region) else {
        return Ok(json!({ "Code": "INSTANCE_NOT_EXIST", "IsSuccess": false, "Message": "instance is not exist." }));
    };
    let mut fields = match claim.action.as_str() {
        "GetAuthorizationToken" => authorization_token(directory, call, &claim, &caller, &instance)?,
        _ => endpoints(&claim, &instance),
    };
    fields["Code"] = "success".into();
    fields["IsSuccess"] = true.into();
    Ok(fields)
}

fn authorization_token(
    directory: &Directory,
    call: &Call,
    claim: &Claim,
    caller: &Caller,
    instance: &Instance,
) -> Result<Value, Fault> {
    let lifetime = claim.parameter("ExpiresInHours").map(expires_in_hours).transpose()?;
    let scope = LoginScope { instance_id: Some(instance.id.clone()), region: instance.region.clone(), lifetime };
    let login = directory.issue_login(caller, scope, call.now);
    Ok(json!({
        "TempUsername": login.user,
        "AuthorizationToken": login.password,
        "ExpireTime": login.expires.as_millisecond(),
    }))
}

/// One to 24 hours; the newest client libraries know this parameter, the API's own metadata does not yet.
fn expires_in_hours(text: &str) -> Result<SignedDuration, Fault> {
    match text.parse() {
        Ok(hours @ 1..=24) => Ok(SignedDuration::from_hours(hours)),
        _ => Err(Fault::bad_request("InvalidParameter", "ExpiresInHours must be within 1 to 24.")),
    }
}

fn endpoints(claim: &Claim, instance: &Instance) -> Value {
    // The chart module is an add-on that no simulated instance has.
    if claim.parameter("ModuleName").is_some_and(|module| module != "Registry") {
        return json!({ "Endpoints": [] });
    }
    let domain = |name: &str, kind: &str| json!({ "Domain": name, "Type": kind });
    let mut public = vec![domain(&instance.internet_domain(), "SYSTEM")];
    public.extend(instance.custom_domains.iter().map(|name| domain(name, "USER")));
    json!({
        "Endpoints": [
            {
                "EndpointType": "internet", "Enable": true, "Status": "RUNNING", "AclEnable": true,
                "AclEntries": [{ "Entry": "203.0.113.7/32" }], "Domains": public, "LinkedVpcs": [],
            },
            {
                "EndpointType": "vpc", "Enable": true, "Status": "RUNNING", "AclEnable": false, "AclEntries": [],
                "Domains": [domain(&instance.vpc_domain(), "SYSTEM")], "LinkedVpcs": [{ "VpcId": "vpc-bp1example" }],
            },
        ],
    })
}

/// `GET /tokens`. This API writes its field names in lower camel case, those of errors too.
fn personal(directory: &Directory, call: &Call) -> Answer {
    directory.count_call("GET /tokens");
    let id = issue::request_id();
    match personal_answer(directory, call) {
        Ok(data) => openapi::verbatim(call, StatusCode::OK, &id, &json!({ "data": data, "requestId": id })),
        Err(Fault { status, code, message }) => {
            openapi::verbatim(call, status, &id, &json!({ "code": code, "message": message, "requestId": id }))
        }
    }
}

fn personal_answer(directory: &Directory, call: &Call) -> Result<Value, Fault> {
    let (claim, caller) = directory.authenticate(call)?;
    if claim.version != PERSONAL {
        return Err(Fault::unknown_version());
    }
    let named = claim.action.is_empty() || claim.action == "GetAuthorizationToken";
    if call.method != Method::GET || !named {
        return Err(Fault::unknown_action());
    }
    let region = region(call)?;
    require(directory, &caller, "cr:GetAuthorizationToken", &format!("acs:cr:{region}:{}:*", caller.account))?;
    if !directory.has_personal_edition(&caller.account, region) {
        return Err(Fault::new(StatusCode::NOT_FOUND, "USER_NOT_EXIST", "user is not exist."));
    }
    let scope = LoginScope { instance_id: None, region: region.to_owned(), lifetime: None };
    let login = directory.issue_login(&caller, scope, call.now);
    Ok(json!({
        "authorizationToken": login.password,
        "tempUserName": login.user,
        "expireDate": login.expires.as_millisecond(),
    }))
}

fn require(directory: &Directory, caller: &Caller, action: &str, resource: &str) -> Result<(), Fault> {
    match directory.allows(caller, action, resource) {
        true => Ok(()),
        false => Err(Fault::new(StatusCode::FORBIDDEN, "NoPrivilege", "Access denied for this user.")),
    }
}

/// The region that the host name says.
fn region(call: &Call) -> Result<&str, Fault> {
    let name = call.host.strip_prefix("cr.").or_else(|| call.host.strip_prefix("cr-vpc."));
    let region = name.and_then(|name| name.strip_suffix(".aliyuncs.com"));
    region.ok_or_else(|| {
        Fault::new(StatusCode::NOT_FOUND, "InvalidApi.NotFound", "Specified api is not found, please check your url.")
    })
}
