//! `credential-provider`: the kubelet's image credential provider protocol (`credentialprovider.kubelet.k8s.io/v1`, the
//! kubelet's reference pages), one request on standard input, one response on standard output.
//!
//! A registry that is not served gets an empty map at once, so that the plugin may stand before other plugins. The
//! login leaves on standard output, which the kubelet reads and keeps in memory; nothing else holds it.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::login::{self, Way};
use super::output::{Failure, print};
use crate::config::Environment;
use crate::logins::{Login, Wanted};
use crate::oci::ImageName;
use crate::oci::error_body::printable;

/// The one version there has been since Kubernetes 1.26.
const API_VERSION: &str = "credentialprovider.kubelet.k8s.io/v1";

/// Longest request: the image, and a service account's token and annotations where the kubelet sends them.
const LONGEST_REQUEST: u64 = 1 << 20;

/// Longest name of a kind or version that is repeated; real ones have some 40 characters.
const LONGEST_NAME: usize = 100;

/// How long a login is still good when the kubelet forgets it: the container runtime asks for a bearer with it until the
/// last layer of a pull that began just before. Of a short life it is half.
const MARGIN: Duration = Duration::from_mins(10);

/// What the kubelet asks. Service account fields may come with it and say nothing here: it is the node that pulls.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    api_version: String,
    kind: String,
    pub(super) image: String,
}

pub(super) fn run(way: &Way, config: &Path, environment: &Environment) -> Result<(), Failure> {
    let request = request(io::stdin().lock())?;
    let wanted = ImageName::parse(&request.image)
        .map(|image| Wanted { host: image.registry, repository: Some(image.repository) });
    let response = match &wanted {
        Some(wanted) => login::obtain(wanted, way, config, environment)?.map(|login| with_login(wanted, &login)),
        None => None,
    };
    print(&format!("{}\n", response.unwrap_or_else(without_login)))
}

pub(super) fn request(from: impl Read) -> Result<Request, Failure> {
    const NEXT: &str = "name this program in the kubelet's CredentialProviderConfig, which runs it";
    let mut text = String::new();
    if let Err(error) = from.take(LONGEST_REQUEST).read_to_string(&mut text) {
        return Err(Failure::runtime(format!("the kubelet's request cannot be read: {error}"), NEXT));
    }
    // What serde_json says may repeat words of the request, and a service account's token can be among them.
    let request: Request = serde_json::from_str(&text)
        .map_err(|_| Failure::usage("standard input holds no CredentialProviderRequest", NEXT))?;
    if request.api_version != API_VERSION || request.kind != "CredentialProviderRequest" {
        let [kind, version] = [&request.kind, &request.api_version].map(|text| printable(text, LONGEST_NAME));
        let what = format!("the kubelet sent a {kind} of {version}");
        return Err(Failure::usage(what, "set apiVersion of the provider to credentialprovider.kubelet.k8s.io/v1"));
    }
    Ok(request)
}

/// The login, for the registry, or for the one repository where not all of them may be pulled.
pub(super) fn with_login(wanted: &Wanted, login: &Login) -> Value {
    let (cache_key, place) = match &wanted.repository {
        Some(repository) if !login.whole_registry => ("Image", format!("{}/{}", wanted.host, repository.as_str())),
        _ => ("Registry", wanted.host.to_string()),
    };
    let kept = login.left.saturating_sub(MARGIN.min(login.left / 2));
    response(cache_key, kept, &json!({ place: { "username": login.user, "password": login.password.expose() } }))
}

/// Not kept, so that a domain that comes to be served is noticed at once.
fn without_login() -> Value {
    response("Registry", Duration::ZERO, &json!({}))
}

fn response(cache_key: &str, kept: Duration, auth: &Value) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "CredentialProviderResponse",
        "cacheKeyType": cache_key,
        "cacheDuration": format!("{}s", kept.as_secs()),
        "auth": auth,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{request, with_login};
    use crate::logins::{Login, Wanted};
    use crate::oci::{RegistryHost, RepositoryName};

    fn response(seconds_left: u64, whole_registry: bool) -> serde_json::Value {
        let wanted = Wanted {
            host: RegistryHost::parse("images.example.com").unwrap(),
            repository: Some(RepositoryName::parse("team/app").unwrap()),
        };
        let left = Duration::from_secs(seconds_left);
        with_login(&wanted, &Login { user: "u".into(), password: "p".into(), left, whole_registry })
    }

    #[test]
    fn the_kubelet_forgets_a_login_while_a_pull_can_still_end_with_it() {
        for (left, kept) in [(3600, "3000s"), (1800, "1200s"), (900, "450s"), (2, "1s"), (0, "0s")] {
            assert_eq!(response(left, true)["cacheDuration"], kept, "{left}");
        }
    }

    #[test]
    fn a_login_is_for_the_registry_unless_only_some_repositories_may_be_pulled() {
        let all = response(3600, true);
        assert_eq!(
            (&all["cacheKeyType"], &all["auth"]["images.example.com"]["password"]),
            (&"Registry".into(), &"p".into())
        );
        let one = response(3600, false);
        assert_eq!(
            (&one["cacheKeyType"], &one["auth"]["images.example.com/team/app"]["username"]),
            (&"Image".into(), &"u".into())
        );
    }

    #[test]
    fn a_request_may_say_more_than_is_known_and_not_less() {
        let text = |version: &str| {
            format!(
                r#"{{"apiVersion":"credentialprovider.kubelet.k8s.io/{version}","kind":"CredentialProviderRequest","image":"a.b/c","serviceAccountToken":"eyJ","serviceAccountAnnotations":{{"x":"y"}},"later":1}}"#
            )
        };
        assert_eq!(request(text("v1").as_bytes()).unwrap().image, "a.b/c");
        for bad in [text("v1alpha1"), "{}".to_owned(), String::new(), "not JSON".to_owned()] {
            assert!(request(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
