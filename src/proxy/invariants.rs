//! What holds for every token that a caller shows, and for every link of a registry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Uri};

use super::caller::presented;
use super::link::rewrite;
use super::route::Face;
use crate::oci::{RegistryHost, RepositoryName};
use crate::upstream::Place;

/// The value of `Authorization`.
pub(crate) fn caller(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let once = HeaderMap::from_iter([(AUTHORIZATION, value.clone())]);
    let mut twice = once.clone();
    twice.append(AUTHORIZATION, value);
    assert!(presented(&twice).is_none(), "one of two tokens was chosen");
    let Some(token) = presented(&once) else { return };
    let basic = format!("Basic {}", STANDARD.encode(format!("anybody:{}", token.expose())));
    let Ok(basic) = HeaderValue::from_str(&basic) else { panic!("base64 is no header value") };
    assert_eq!(
        presented(&HeaderMap::from_iter([(AUTHORIZATION, basic)])),
        Some(token),
        "in another form it is another"
    );
}

/// The `Link` of a registry's list of tags.
pub(crate) fn link(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let (Ok(host), Ok(repository)) = (RegistryHost::parse("registry.test:5000"), RepositoryName::parse("team/app"))
    else {
        panic!("plain names are none")
    };
    let place = Place { host, repository };
    for (face, path) in [
        (Face::Namespace, "/v2/team/app/tags/list"),
        (Face::Host, "/v2/team/app/tags/list"),
        (Face::Prefix, "/v2/registry.test:5000/team/app/tags/list"),
    ] {
        let Some(link) = rewrite(&value, &place, face) else { continue };
        let Ok(link) = link.to_str() else { panic!("{link:?} is no text") };
        assert_eq!((link.matches('<').count(), link.matches('>').count()), (1, 1), "{link} is not one link");
        let target = link.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let uri = target.and_then(|(target, _)| target.parse::<Uri>().ok());
        let uri = uri.unwrap_or_else(|| panic!("{link} leads nowhere"));
        assert_eq!((uri.authority(), uri.path()), (None, path), "{link} leads elsewhere");
    }
}
