//! The two lists a registry gives: tags page by page, and referrers where they are enabled.

use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderValue, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{API_VERSION, json_answer};
use crate::call::{Answer, Call};
use crate::store::Instance;

const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `tags/list` with `n` and `last`; a further page is announced in `Link` (distribution specification, "Listing Tags").
pub(super) fn tags(call: &Call, instance: &Instance, repository: &str) -> Answer {
    let query = call.uri.query().unwrap_or_default();
    let last = parameter(query, "last").unwrap_or_default();
    let page_size = parameter(query, "n").and_then(|n| n.parse::<usize>().ok());
    let mut tags: Vec<String> = instance.tags(repository).into_iter().filter(|tag| *tag > last).collect();
    let mut next = None;
    if let Some(size) = page_size.filter(|size| *size < tags.len()) {
        tags.truncate(size);
        let last = tags.last().cloned().unwrap_or_default();
        next = Some(format!("</v2/{repository}/tags/list?last={last}&n={size}>; rel=\"next\""));
    }
    let mut answer = json_answer(http::StatusCode::OK, json!({ "name": repository, "tags": tags }).to_string());
    if let Some(link) = next.and_then(|link| HeaderValue::from_str(&link).ok()) {
        answer.headers_mut().insert(LINK, link);
    }
    answer
}

/// The manifests whose `subject` is `digest`, as an index (distribution specification, "Listing Referrers").
pub(super) fn referrers(call: &Call, instance: &Instance, repository: &str, digest: &str) -> Answer {
    let wanted_type = parameter(call.uri.query().unwrap_or_default(), "artifactType");
    let manifests = instance.manifests(repository);
    let mut found: Vec<Value> = manifests
        .iter()
        .filter_map(|(own_digest, manifest)| {
            let parsed: Value = serde_json::from_slice(&manifest.bytes).ok()?;
            (parsed["subject"]["digest"] == digest).then_some(())?;
            let artifact_type = parsed["artifactType"].as_str().or(parsed["config"]["mediaType"].as_str());
            Some(json!({
                "mediaType": manifest.media_type,
                "digest": own_digest,
                "size": manifest.bytes.len(),
                "artifactType": artifact_type,
            }))
        })
        .collect();
    if let Some(wanted) = &wanted_type {
        found.retain(|descriptor| descriptor["artifactType"] == **wanted);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": found });
    let mut head = Response::builder().header(API_VERSION, "registry/2.0").header(CONTENT_TYPE, IMAGE_INDEX);
    if wanted_type.is_some() {
        head = head.header("oci-filters-applied", "artifactType");
    }
    head.body(index.to_string().into()).unwrap_or_default()
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(other, _)| *other == name))?.1;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}
