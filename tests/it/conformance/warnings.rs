//! "Warnings": what a registry wants people to read reaches the program that they use.

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use http::header::{CONTENT_TYPE, WARNING};
use http::{HeaderName, HeaderValue, StatusCode};

use super::{FACES, Registry, sha256};
use crate::support::{Node, TAG};

/// As the spec has it: code 299, no agent, no date.
const WARNINGS: [&str; 2] = ["299 - \"this repository moves to team/new\"", "299 - \"and will be gone by spring\""];

#[tokio::test(flavor = "multi_thread")]
async fn warnings_of_the_registry_reach_the_client() {
    let node = Node::start().await;
    let (_, manifest) = &node.image.manifests[0];
    let named = (HeaderName::from_static("docker-content-digest"), sha256(&manifest.bytes));
    for (rest, media_type, body) in [
        (format!("manifests/{TAG}"), manifest.media_type.as_str(), manifest.bytes.clone()),
        ("tags/list".to_owned(), "application/json", "{\"name\":\"team/app\",\"tags\":[]}".into()),
        (
            format!("referrers/{}", node.image.digest),
            "application/vnd.oci.image.index.v1+json",
            "{\"schemaVersion\":2,\"manifests\":[]}".into(),
        ),
    ] {
        let mut headers = vec![
            (CONTENT_TYPE, HeaderValue::from_str(media_type).unwrap()),
            (named.0.clone(), HeaderValue::from_str(&named.1).unwrap()),
        ];
        headers.extend(WARNINGS.map(|warning| (WARNING, HeaderValue::from_static(warning))));
        let effect = Effect::Answer { status: StatusCode::OK, headers, body };
        node.cloud.fault(Fault::on(Service::Registry, effect).path_contains(&format!("/{rest}")));
        for face in FACES {
            let reply = Registry { node: &node, face }.get(&rest).await.expect(200);
            let told: Vec<_> = reply.headers.get_all(WARNING).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(told, WARNINGS, "{face:?} {rest}");
        }
        node.cloud.faults().clear();
    }
    node.finish().await;
}
