//! The ECS metadata service at `100.100.100.200`, in normal and in hardened mode.
//!
//! Owns paths, headers and statuses; the node it tells about belongs to the directory. The statuses of refused tokens
//! are documented nowhere: a client must treat them alike.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use crate::call::{Answer, Call};
use crate::date;
use crate::ram::{Directory, Node, NodeCredentials, TokenRefused, parse_arn};

const TOKEN: &str = "/latest/api/token";
const TTL_HEADER: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aliyun-ecs-metadata-token";
const META_DATA: &str = "/latest/meta-data/";
const CREDENTIALS: &str = "ram/security-credentials";

/// Answers one request to the metadata service.
#[must_use]
pub fn handle(directory: &Directory, call: &Call) -> Answer {
    let path = call.uri.path();
    match (&call.method, path.strip_prefix(META_DATA)) {
        (&Method::PUT, _) if path == TOKEN => token(directory, call),
        (&Method::GET, Some(item)) => read(directory, call, item),
        (&Method::GET, None) => plain(StatusCode::NOT_FOUND, "Not Found"),
        _ => plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
    }
}

fn token(directory: &Directory, call: &Call) -> Answer {
    if call.headers.contains_key("x-forwarded-for") {
        return plain(StatusCode::FORBIDDEN, "Forbidden");
    }
    let ttl = call.header(TTL_HEADER).and_then(|text| text.parse().ok());
    match ttl.ok_or(TokenRefused::Ttl).and_then(|ttl| directory.issue_metadata_token(ttl, call.now)) {
        Ok(token) => plain(StatusCode::OK, token),
        Err(refused) => refuse(refused),
    }
}

fn read(directory: &Directory, call: &Call, item: &str) -> Answer {
    directory.count_call("metadata");
    if directory.metadata_hardened() && call.headers.contains_key("x-forwarded-for") {
        return plain(StatusCode::FORBIDDEN, "Forbidden");
    }
    if let Err(refused) = directory.admit_metadata_read(call.header(TOKEN_HEADER), call.now) {
        return refuse(refused);
    }
    let Some(node) = directory.node() else { return plain(StatusCode::NOT_FOUND, "Not Found") };
    let role = item.strip_prefix(CREDENTIALS).map(|role| role.trim_start_matches('/'));
    match (item, role) {
        (_, Some("")) => role_name(&node),
        (_, Some(role)) => credentials(directory, call, role),
        ("region-id", _) => plain(StatusCode::OK, node.region),
        ("zone-id", _) => plain(StatusCode::OK, node.zone),
        ("instance-id", _) => plain(StatusCode::OK, node.instance_id),
        ("owner-account-id", _) => plain(StatusCode::OK, node.account),
        ("vpc-id", _) => plain(StatusCode::OK, node.vpc_id),
        _ => plain(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// The name of the attached role, with a line end that clients have to trim.
fn role_name(node: &Node) -> Answer {
    match node.role.as_deref().and_then(|arn| parse_arn(arn, "role")) {
        Some((_, name)) => plain(StatusCode::OK, format!("{name}\n")),
        None => plain(StatusCode::NOT_FOUND, "Not Found"),
    }
}

fn credentials(directory: &Directory, call: &Call, role: &str) -> Answer {
    let body = match directory.node_credentials(role, call.now) {
        None => return plain(StatusCode::NOT_FOUND, "Not Found"),
        // HTTP 200 all the same.
        Some(NodeCredentials::Failing { code }) => json!({ "Code": code }),
        Some(NodeCredentials::Given { credentials, updated }) => {
            json!({
                "AccessKeyId": credentials.access_key_id,
                "AccessKeySecret": credentials.access_key_secret,
                "Expiration": date::iso(credentials.expiration),
                "SecurityToken": credentials.security_token,
                "LastUpdated": date::iso(updated),
                "Code": "Success",
            })
        }
    };
    text(StatusCode::OK, "application/json", body.to_string())
}

fn refuse(refused: TokenRefused) -> Answer {
    match refused {
        TokenRefused::Ttl => plain(StatusCode::BAD_REQUEST, "Bad Request"),
        TokenRefused::Missing => plain(StatusCode::FORBIDDEN, "Forbidden"),
        TokenRefused::Invalid => plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
    }
}

fn plain(status: StatusCode, body: impl Into<String>) -> Answer {
    text(status, "text/plain", body.into())
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
