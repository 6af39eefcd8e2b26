use http::Method;
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use super::{Endpoint, Namespace, RegistryHost, RegistryRequest, RequestError, Resource};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn get(target: &str) -> Result<RegistryRequest, RequestError> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    RegistryRequest::parse(&Method::GET, path, query)
}

fn repository(target: &str) -> (String, Resource) {
    match get(target).unwrap().endpoint {
        Endpoint::Repository { name, resource } => (name.whole.unwrap().to_string(), resource),
        Endpoint::Ping => panic!("{target} was taken for a ping"),
    }
}

#[test]
fn every_endpoint_of_the_pull_side_is_known() {
    assert_eq!(get("/v2/").unwrap().endpoint, Endpoint::Ping);
    assert_eq!(get("/v2").unwrap().endpoint, Endpoint::Ping);
    assert!(matches!(repository("/v2/a/manifests/v1"), (name, Resource::Manifest(_)) if name == "a"));
    assert!(matches!(repository(&format!("/v2/a/b/blobs/{DIGEST}")), (name, Resource::Blob(_)) if name == "a/b"));
    // Names may be made of the words of the endpoints.
    let (name, resource) = repository("/v2/blobs/manifests/tags/list");
    assert_eq!((name.as_str(), resource), ("blobs/manifests", Resource::Tags { query: String::new() }));
    let (_, resource) = repository(&format!("/v2/a/referrers/{DIGEST}?artifactType=a%2Fb&ns=x.test"));
    assert!(matches!(resource, Resource::Referrers { query, .. } if query == "artifactType=a%2Fb"));
}

#[test]
fn the_namespace_is_read_and_passed_on_to_nobody() {
    let request = get("/v2/a/tags/list?n=2&ns=registry.test%3A5000&last=b&x=y").unwrap();
    assert!(matches!(&request.namespace, Some(Namespace::Host(host)) if host.as_str() == "registry.test:5000"));
    let Endpoint::Repository { resource: Resource::Tags { query }, .. } = request.endpoint else { panic!() };
    assert_eq!(query, "n=2&last=b");
    for foreign in ["ns=", "ns=a/b", "ns=a.test&ns=b.test", "ns=%20"] {
        assert_eq!(get(&format!("/v2/?{foreign}")).unwrap().namespace, Some(Namespace::Foreign), "{foreign}");
    }
}

#[test]
fn a_host_in_front_of_a_name_is_offered_as_such() {
    let Endpoint::Repository { name, .. } = get("/v2/registry.test/team/app/manifests/v1").unwrap().endpoint else {
        panic!()
    };
    let (host, rest) = name.prefixed.unwrap();
    assert_eq!((host.as_str(), rest.as_str()), ("registry.test", "team/app"));
    assert_eq!(name.whole.unwrap().as_str(), "registry.test/team/app");
    let Endpoint::Repository { name, .. } = get("/v2/registry.test%3A5000/app/manifests/v1").unwrap().endpoint else {
        panic!()
    };
    assert!(name.whole.is_none());
    assert_eq!(name.prefixed.unwrap().0.as_str(), "registry.test:5000");
}

#[test]
fn a_host_in_front_of_the_whole_says_what_the_namespace_says() {
    let named = |target: &str| get(target).unwrap().namespace;
    let host = |name: &str| Some(Namespace::Host(RegistryHost::parse(name).unwrap()));
    for (target, namespace) in [
        ("/registry.test/v2/", host("registry.test")),
        ("/registry.test%3A5000/v2/a/b/manifests/v1", host("registry.test:5000")),
        ("/registry.test/v2/a/b/manifests/v1?ns=registry.test", host("registry.test")),
        ("/registry.test/v2/a/b/manifests/v1?ns=other.test", Some(Namespace::Foreign)),
        ("/v2/registry.test/v2/a/manifests/v1", None),
    ] {
        assert_eq!(named(target), namespace, "{target}");
    }
    assert_eq!(repository("/registry.test/v2/a/b/manifests/v1").0, "a/b");
}

#[test]
fn bad_input_is_refused_by_the_rule_it_breaks() {
    let cases = [
        ("/v2/a/../b/manifests/v1", RequestError::Encoding),
        ("/v2/a/%2e%2E/b/manifests/v1", RequestError::Encoding),
        ("/v2/a/./b/manifests/v1", RequestError::Encoding),
        ("/v2/a%2fb/manifests/v1", RequestError::Encoding),
        ("/v2/a/manifests/v%00", RequestError::Encoding),
        ("/v2/a/manifests/v%", RequestError::Encoding),
        ("/v2/a/manifests/v1?ns=%zz", RequestError::Encoding),
        ("/v2/a/manifests/v1?%=", RequestError::Encoding),
        ("/v2/A/manifests/v1", RequestError::Name),
        ("/v2/a//b/manifests/v1", RequestError::Name),
        ("/v2/manifests/v1", RequestError::Name),
        ("/v2/a/manifests/-v1", RequestError::Reference),
        ("/v2/a/manifests/sha256:totallywrong", RequestError::Reference),
        ("/v2/a/blobs/sha256:totallywrong", RequestError::Digest),
        ("/v2/a/referrers/v1", RequestError::Subject),
        ("/v2/a/blobs/uploads/", RequestError::Endpoint),
        ("/v2/a/manifests/v1/", RequestError::Endpoint),
        ("/v2/_catalog", RequestError::Endpoint),
        ("/v1/a/manifests/v1", RequestError::Endpoint),
        ("/team/v2/a/manifests/v1", RequestError::Endpoint),
        ("/registry.test/a/manifests/v1", RequestError::Endpoint),
        ("/registry.test/registry.test/v2/a/manifests/v1", RequestError::Endpoint),
        ("/../v2/a/manifests/v1", RequestError::Encoding),
        ("//v2/a/manifests/v1", RequestError::Endpoint),
        ("/", RequestError::Endpoint),
        ("", RequestError::Endpoint),
        ("*", RequestError::Endpoint),
    ];
    for (target, expected) in cases {
        assert_eq!(get(target).unwrap_err(), expected, "{target}");
    }
    assert_eq!(get(&format!("/v2/{}", "a".repeat(5000))).unwrap_err(), RequestError::TooLong);
}

#[test]
fn whatever_writes_is_refused_before_its_path_is_read() {
    for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        assert_eq!(RegistryRequest::parse(&method, "/v2/%", None).unwrap_err(), RequestError::Method);
    }
    let head = |path| RegistryRequest::parse(&Method::HEAD, path, None);
    assert!(head("/v2/a/manifests/v1").unwrap().head);
    assert_eq!(head("/v2/a/tags/list").unwrap_err(), RequestError::Method);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_target_makes_the_parser_panic(path in any::<String>(), query in any::<Option<String>>()) {
        drop(RegistryRequest::parse(&Method::GET, &path, query.as_deref()));
        drop(RegistryRequest::parse(&Method::GET, &format!("/v2/{path}/manifests/v1"), query.as_deref()));
    }

    #[test]
    fn an_escaped_name_is_read_as_the_plain_one(name in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}", pick in prop::collection::vec(any::<bool>(), 36)) {
        let escaped: String = name
            .bytes()
            .zip(pick)
            .map(|(byte, escape)| if escape && byte != b'/' { format!("%{byte:02x}") } else { char::from(byte).to_string() })
            .collect();
        assert_eq!(repository(&format!("/v2/{escaped}/manifests/v1")), repository(&format!("/v2/{name}/manifests/v1")));
    }
}
