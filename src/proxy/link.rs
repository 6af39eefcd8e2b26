//! `Link` of a tag list, rewritten so that the next page is asked of this node again, in the way the client came.

use http::{HeaderValue, Uri};

use super::route::Face;
use crate::upstream::Place;

/// The link of an upstream's answer for a client that came by `face`; `None` where it is none that can be followed.
///
/// Only its query is taken over, so that a link can lead nowhere but to the next page of the same list.
pub(super) fn rewrite(link: &HeaderValue, place: &Place, face: Face) -> Option<HeaderValue> {
    let (target, parameters) = link.to_str().ok()?.trim().strip_prefix('<')?.split_once('>')?;
    // One link, whose target makes a URL of ours: what else stands in the header would lead past this daemon.
    if parameters.contains(['<', '>', ',']) {
        return None;
    }
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("ns=")).collect();
    // A page without a tag is followed by itself, for ever (distribution spec, "Listing Tags": none has a link).
    if pairs.contains(&"n=0") {
        return None;
    }
    let namespace = format!("ns={}", place.host.as_str().replace(':', "%3A"));
    let prefix = match face {
        Face::Prefix => format!("{}/", place.host),
        Face::Host => String::new(),
        Face::Namespace => {
            pairs.push(&namespace);
            String::new()
        }
    };
    let path = format!("/v2/{prefix}{}/tags/list", place.repository);
    let target = format!("{path}?{}", pairs.join("&"));
    let target = Uri::try_from(&target).ok().filter(|uri| uri.path() == path)?;
    HeaderValue::from_str(&format!("<{target}>{parameters}")).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::rewrite;
    use crate::oci::{RegistryHost, RepositoryName};
    use crate::proxy::route::Face;
    use crate::upstream::Place;

    #[test]
    fn the_next_page_is_asked_the_way_the_first_was() {
        let place = Place {
            host: RegistryHost::parse("registry.test:5000").unwrap(),
            repository: RepositoryName::parse("team/app").unwrap(),
        };
        let link = HeaderValue::from_static(r#"<https://other.test/v2/team/app/tags/list?n=2&last=b>; rel="next""#);
        let rewritten = |face| rewrite(&link, &place, face).unwrap();
        assert_eq!(
            rewritten(Face::Namespace),
            r#"</v2/team/app/tags/list?n=2&last=b&ns=registry.test%3A5000>; rel="next""#
        );
        assert_eq!(rewritten(Face::Host), r#"</v2/team/app/tags/list?n=2&last=b>; rel="next""#);
        assert_eq!(rewritten(Face::Prefix), r#"</v2/registry.test:5000/team/app/tags/list?n=2&last=b>; rel="next""#);
        for value in [
            "nonsense",
            r#"<https://other.test/?n=2>; rel="prev", <https://other.test/?n=3>; rel="next""#,
            r#"<https://other.test/?n=<2>; rel="next""#,
            r#"</v2/team/app/tags/list?last=&n=0>; rel="next""#,
        ] {
            assert!(rewrite(&HeaderValue::from_static(value), &place, Face::Host).is_none(), "{value}");
        }
    }
}
