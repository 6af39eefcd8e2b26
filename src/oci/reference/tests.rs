use proptest::prelude::{ProptestConfig, any, proptest};

use super::{Digest, Reference, RepositoryName, Scope, Tag};

#[test]
fn repository_names_follow_the_spec() {
    for name in ["a", "team/app", "a.b/c_d/e__f/g---h", "0/1"] {
        assert!(RepositoryName::parse(name).is_ok(), "{name} refused");
    }
    for name in ["", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", "-a", "a-", "a/../b", "a b", "a%2fb", "ä"]
    {
        assert!(RepositoryName::parse(name).is_err(), "{name} passed");
    }
    assert!(RepositoryName::parse(&"a".repeat(255)).is_ok());
    assert!(RepositoryName::parse(&"a".repeat(256)).is_err());
}

#[test]
fn a_reference_with_a_colon_is_a_digest_or_nothing() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    assert!(matches!(Reference::parse(&digest), Ok(Reference::Digest(_))));
    assert!(matches!(Reference::parse("v1.2_3-x"), Ok(Reference::Tag(_))));
    for text in ["sha256:totallywrong", "md5:00", "", ".v1", "-v1", "a/b", "v1 "] {
        assert!(Reference::parse(text).is_err(), "{text:?} passed");
    }
    assert!(Digest::parse(&digest.to_uppercase()).is_err());
    assert!(Tag::parse(&"t".repeat(129)).is_err());
}

#[test]
fn a_scope_asks_for_pull_and_nothing_else() {
    let scope = Scope::pull(RepositoryName::parse("team/app").unwrap());
    assert_eq!(scope.to_string(), "repository:team/app:pull");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_accepted_name_can_leave_its_place_in_a_path(text in any::<String>()) {
        if let Ok(name) = RepositoryName::parse(&text) {
            assert!(name.as_str().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
            assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte)));
        }
        if let Ok(reference) = Reference::parse(&text) {
            assert!(!reference.as_str().contains('/'));
        }
    }
}
