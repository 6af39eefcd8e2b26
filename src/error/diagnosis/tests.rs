//! That every failure is found in the table, that its row is its own, and that its texts fit where they are shown.

use super::{BEFORE_REGISTRY, Key, LONGEST_HINT, Names, Row, Sign, markdown, rows};
use crate::error::Blame;

#[test]
fn every_sign_has_exactly_one_row() {
    for sign in Sign::ALL {
        let rows = rows().filter(|row| row.key == Key::Sign(*sign)).count();
        assert_eq!(rows, 1, "{sign:?}");
    }
}

#[test]
fn a_code_finds_the_row_of_its_hop_first() {
    let at = |action, code| Row::of_code(action, code);
    assert_eq!(at("AssumeRole", "NoPermission").who, Blame::EitherAccount);
    assert_eq!(at("AssumeRoleWithOIDC", "NoPermission").who, Blame::NodeAccount);
    assert_eq!(at("AssumeRole", "InvalidParameter.Whatever").key, at("x", "InvalidParameter").key);
    assert_ne!(at("x", "InvalidParameter.DurationSeconds").key, at("x", "InvalidParameter").key);
    assert_eq!(at("AssumeRole", "SomethingNew").key, Key::Sign(Sign::UnknownCode));
}

#[test]
fn no_row_stands_behind_one_that_takes_its_failures() {
    for row in rows() {
        let Key::Code { actions, codes } = row.key else { continue };
        for action in if actions.is_empty() { &["any"] } else { actions } {
            for code in codes {
                let found = Row::of_code(action, code.trim_end_matches('*'));
                assert!(std::ptr::eq(found, row), "{code} of {} is never found", row.seen);
            }
        }
    }
}

#[test]
fn names_take_the_place_of_general_words() {
    let row = Row::of_code("AssumeRole", "NoPermission");
    let names = Names {
        role: Some("acs:ram::222222222222:role/acr-pull"),
        caller: Some("acs:ram::111111111111:role/cluster-a"),
        ..Names::default()
    };
    let fix = row.fix(&names);
    assert!(fix.contains("sts:AssumeRole on acs:ram::222222222222:role/acr-pull"), "{fix}");
    assert!(fix.contains("Principal.RAM: acs:ram::111111111111:role/cluster-a"), "{fix}");
    assert!(!markdown().contains('{'));
}

#[test]
fn every_text_is_printable_and_fits_where_it_is_shown() {
    for row in rows() {
        for text in [row.seen, row.cause, row.fix, row.hint] {
            assert!(!text.is_empty() && text.is_ascii() && !text.contains(['|', '\n']), "{}: {text}", row.seen);
            assert!(!text.ends_with('.'), "{}: {text}", row.seen);
        }
        assert!(row.hint.len() <= LONGEST_HINT, "{}: {} characters", row.hint, row.hint.len());
    }
}

/// What OSS documents for a presigned URL; 503 is taken for a failure of the bucket before its code is looked at.
const OF_BUCKETS: [&str; 10] = [
    "AccessDenied",
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "SecurityTokenExpired",
    "InvalidSecurityToken",
    "RequestTimeTooSkewed",
    "InvalidArgument",
    "NoSuchKey",
    "NoSuchBucket",
    "InvalidRange",
];

#[test]
fn every_code_of_a_bucket_has_a_row_that_names_it() {
    for code in OF_BUCKETS {
        let row = Row::of_bucket(code);
        assert!(row.seen.starts_with("bucket: ") && row.seen.contains(&format!("`{code}`")), "{code}: {}", row.seen);
    }
    assert_eq!(Row::of_bucket("SomethingNew").key, Key::Sign(Sign::BucketRefused));
    assert_ne!(Row::of_bucket("SignatureDoesNotMatch").key, Row::of_code("AssumeRole", "SignatureDoesNotMatch").key);
}

#[test]
fn a_role_on_the_way_through_account_a_is_not_looked_for_in_account_b() {
    for code in ["EntityNotExist.Role", "NoPermission"] {
        assert_eq!(Row::of_code(BEFORE_REGISTRY, code).who, Blame::NodeAccount, "{code}");
    }
    assert_eq!(Row::of_code("AssumeRole", "EntityNotExist.Role").who, Blame::RegistryAccount);
    assert_eq!(
        Row::of_code(BEFORE_REGISTRY, "SignatureDoesNotMatch").key,
        Row::of_code("x", "SignatureDoesNotMatch").key
    );
}
