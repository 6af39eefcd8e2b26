//! What holds for every URL.

use super::origin::SafeUri;
use super::signed_url::{expiry, is_limited};

/// A URL from an answer, such as a signed one.
pub(crate) fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Nothing of a query is repaired, so any text may stand for one.
    let read = (expiry(text), is_limited(text));
    assert_eq!((expiry(&format!("first=1&{text}&last=1")), is_limited(&format!("{text}&"))), read);

    let Ok(uri) = SafeUri::parse(text) else { return };
    let shown = format!("{uri} {uri:?}");
    let secrets = shown.split('?').skip(1);
    assert!(secrets.into_iter().all(|rest| rest.starts_with("***")), "{shown} shows a query");
    assert!(
        !text.split('#').next().unwrap_or_default().contains('@') || uri.query().is_some() || uri.path().contains('@')
    );

    let (before, _) = text.split_once('#').unwrap_or((text, ""));
    let query = before.split_once('?').map(|(_, query)| query);
    assert_eq!(uri.query(), query, "the query was spelled anew");
    let header = uri.to_header().unwrap_or_else(|| panic!("{uri} makes no header"));
    assert!(header.is_sensitive());
    let again = header.to_str().ok().and_then(|text| SafeUri::parse(text).ok());
    assert_eq!(again.as_ref(), Some(&uri), "{uri} does not come through");

    let secured = uri.clone().over_tls();
    assert!(secured.origin().is_https());
    assert_eq!(secured.origin().host(), uri.origin().host());
    assert_eq!((secured.path(), secured.query()), (uri.path(), uri.query()));

    if let Ok(joined) = uri.join("/elsewhere?x=1") {
        assert_eq!((joined.origin(), joined.path(), joined.query()), (uri.origin(), "/elsewhere", Some("x=1")));
    } else {
        panic!("{uri} has no other path");
    }
}
