use http::Method;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::{Origin, SafeUri, UriError};

const SIGNED: &str =
    "http://cri-a-registry.oss-cn-hangzhou.aliyuncs.com/docker/data?security-token=a%2Bb%3D%3d&Signature=x%2F+Y%3D&%7e";

fn uri(text: &str) -> SafeUri {
    SafeUri::parse(text).unwrap()
}

#[test]
fn origins_are_equal_in_scheme_host_and_port_or_not_at_all() {
    assert_eq!(uri("https://A.test/x").origin(), uri("https://a.TEST:443/y").origin());
    assert_eq!(*uri("https://a.test/x").origin(), Origin::https("a.test").unwrap());
    for other in ["http://a.test/", "https://a.test:8443/", "https://b.test/", "https://a.test.b/"] {
        assert_ne!(uri("https://a.test/").origin(), uri(other).origin(), "{other}");
    }
}

#[test]
fn what_is_no_plain_absolute_url_is_refused() {
    let cases = [
        ("https://user@a.test/", UriError::UserInfo),
        ("https://user:pass@a.test/", UriError::UserInfo),
        ("https://a.test@b.test/", UriError::UserInfo),
        ("ftp://a.test/", UriError::Scheme),
        ("/v2/", UriError::Relative),
        ("a.test", UriError::Relative),
        ("https://a.test:99999/", UriError::Malformed),
        ("https://a.test:+443/", UriError::Malformed),
        ("https://a.test:/", UriError::Malformed),
        ("https:///path", UriError::Malformed),
        ("", UriError::Malformed),
        ("https://a b/", UriError::Malformed),
        ("https://a.test/caf\u{e9}", UriError::Malformed),
    ];
    for (text, expected) in cases {
        assert_eq!(SafeUri::parse(text).unwrap_err(), expected, "{text:?}");
    }
}

/// Check 22 (`tests/it/peers.rs`).
#[test]
fn a_signed_url_is_sent_as_it_came_and_shown_without_its_query() {
    let signed = uri(SIGNED).over_tls();
    let request = signed.request(Method::GET).body(()).unwrap();
    assert_eq!(request.uri().to_string(), SIGNED.replacen("http:", "https:", 1));
    for shown in [signed.to_string(), format!("{signed:?}")] {
        assert!(!shown.contains("token") && !shown.contains("Signature"), "{shown}");
        assert!(shown.contains("https://cri-a-registry.oss-cn-hangzhou.aliyuncs.com/docker/data?***"), "{shown}");
    }
}

/// Check 10 (`tests/it/peers.rs`).
#[test]
fn a_location_is_read_against_the_url_it_answers() {
    let base = uri("https://a.test:8443/v2/x");
    assert_eq!(base.join("/y?q=1").unwrap().to_string(), "https://a.test:8443/y?***");
    assert_eq!(base.join("//b.test/y").unwrap().to_string(), "https://b.test/y");
    assert_eq!(base.join("http://c.test/").unwrap().to_string(), "http://c.test/");
    assert!(base.join("y").is_err());
    assert!(base.join("").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_the_parser_panic_or_leak(text in any::<String>(), query in "[a-zA-Z0-9%=&+/~._-]{0,60}") {
        drop(SafeUri::parse(&text));
        drop(uri("https://a.test/").join(&text));
        let signed = uri(&format!("https://a.test/p?{query}"));
        assert_eq!(signed.query(), Some(query.as_str()));
        assert_eq!(signed.to_string(), "https://a.test/p?***");
    }
}
