use proptest::prelude::{ProptestConfig, any, proptest};

use super::Challenge;

fn one(value: &str) -> Challenge {
    let mut all = Challenge::parse_all(value).unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn the_challenges_of_the_real_registry_are_read() {
    let challenge = one(
        r#"Bearer realm="https://dockerauth.cn-beijing.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-beijing:china:cri-abcd1234efgh5678",scope="repository:ns/app:push,pull",error="insufficient_scope""#,
    );
    assert!(challenge.is("BEARER"));
    assert_eq!(challenge.realm(), Some("https://dockerauth.cn-beijing.aliyuncs.com/auth"));
    assert_eq!(challenge.service(), Some("registry.aliyuncs.com:cn-beijing:china:cri-abcd1234efgh5678"));
    assert_eq!(challenge.scope(), Some("repository:ns/app:push,pull"));
    assert_eq!(challenge.error(), Some("insufficient_scope"));
}

#[test]
fn several_challenges_are_told_apart() {
    let all =
        Challenge::parse_all(r#"Negotiate YII=, Basic realm="a, \"b\"" , , bearer Realm = x , Scope="" , Digest"#);
    let all = all.unwrap();
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all[1].realm(), Some(r#"a, "b""#));
    assert_eq!((all[2].realm(), all[2].scope()), (Some("x"), Some("")));
    assert_eq!(Challenge::bearer(["Basic", r#"Bearer realm="y""#]).unwrap().realm(), Some("y"));
    assert!(Challenge::bearer(["Basic", "Bearer realm=\"open"]).is_none());
}

#[test]
fn what_breaks_the_grammar_is_refused() {
    for value in ["", ",", "realm=x", r#"Bearer realm="x"#, r#"Bearer realm="x" y"#, "Bearer =x", "\"x\""] {
        assert!(Challenge::parse_all(value).is_err(), "{value:?}");
    }
    let endless = format!("Bearer {}", vec!["a=b"; 1000].join(","));
    assert!(Challenge::parse_all(&endless).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_value_makes_the_parser_panic(value in any::<String>()) {
        drop(Challenge::parse_all(&value));
        drop(Challenge::parse_all(&format!("Bearer {value}")));
    }

    #[test]
    fn a_quoted_value_comes_back_as_it_was(value in any::<String>()) {
        let quoted = value.replace('\\', r"\\").replace('"', "\\\"");
        let challenge = one(&format!("Bearer a=b, realm=\"{quoted}\", scope=c"));
        assert_eq!(challenge.realm(), Some(value.as_str()));
        assert_eq!(challenge.scope(), Some("c"));
    }
}
