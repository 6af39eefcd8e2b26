use std::time::Duration;

use super::{Answered, CacheResult, Hop, Kind, Method, Metrics, Outcome, StatusClass, Target};
use crate::clock::Timestamp;
use crate::oci::InstanceId;

fn series(text: &str, start: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

#[test]
fn counters_of_an_instance_stand_at_zero_before_anything_happens() {
    let metrics = Metrics::new();
    let _instance = metrics.instance(&InstanceId::parse("cri-1").unwrap());
    let text = metrics.render().unwrap();
    let all = series(&text, "acr_pull_proxy_requests_total{");
    assert_eq!(all.len(), Kind::ALL.len() * Method::ALL.len() * StatusClass::ALL.len());
    assert!(all.iter().all(|line| line.ends_with(" 0")), "{all:?}");
    for (family, children) in [
        ("request_duration_seconds", 2 * Method::ALL.len() * 3),
        ("time_to_first_byte_seconds", 2),
        ("token_request_duration_seconds", Hop::ALL.len() * Outcome::ALL.len()),
        ("upstream_request_duration_seconds", Target::ALL.len() * Outcome::ALL.len()),
    ] {
        let counts = series(&text, &format!("acr_pull_proxy_{family}_count{{"));
        assert_eq!(counts.len(), children, "{counts:?}");
        assert!(counts.iter().all(|line| line.ends_with(" 0")), "{counts:?}");
    }
    let rare = series(&text, "acr_pull_proxy_request_duration_seconds_count").into_iter();
    assert_eq!(rare.filter(|line| line.contains("tags") || line.contains("3xx")).count(), 0, "these come when used");
    assert!(series(&text, "acr_pull_proxy_token_expiry").is_empty(), "an expiry of 0 would raise an alarm");
}

#[test]
fn every_event_shows_under_its_name() {
    let metrics = Metrics::new();
    let instance = metrics.instance(&InstanceId::parse("cri-1").unwrap());
    let took = Duration::from_millis(3);
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    instance.request_began(Kind::Blob, Method::Get);
    instance.request_began(Kind::Blob, Method::Get);
    let (kind, method, first_byte) = (Kind::Blob, Method::Get, took);
    instance.request_ended(&Answered { kind, method, status: 206, bytes: 42, took, first_byte });
    instance.token_request(Hop::AssumeRole, Outcome::Refused, took);
    instance.token_held(instance.token_holder(Hop::AuthorizationToken), at, at);
    instance.token_cache(Hop::Bearer, CacheResult::Shared);
    instance.upstream_request(Target::Oss, Outcome::Ok, took);
    instance.upstream_retry(Target::Registry, Outcome::Refused);
    instance.blob_resumed();
    instance.succeeded(at);
    metrics.config_read(true, at);
    metrics.clock_skew(-1.5);
    metrics.describe_process("0.1.0", "abc");
    let text = metrics.render().unwrap();
    for line in [
        r#"requests_total{instance="cri-1",kind="blob",method="GET",status="2xx"} 1"#,
        r#"response_bytes_total{instance="cri-1",kind="blob",method="GET",status="2xx"} 42"#,
        r#"request_duration_seconds_count{instance="cri-1",kind="blob",method="GET",status="2xx"} 1"#,
        r#"requests_in_flight{instance="cri-1",kind="blob",method="GET",status=""} 1"#,
        r#"time_to_first_byte_seconds_count{instance="cri-1",kind="blob"} 1"#,
        r#"token_requests_total{hop="assume_role",instance="cri-1",outcome="refused"} 1"#,
        r#"token_request_duration_seconds_count{hop="assume_role",instance="cri-1",outcome="refused"} 1"#,
        r#"token_expiry_timestamp_seconds{hop="authorization_token",instance="cri-1"} 1700000000"#,
        r#"token_issued_timestamp_seconds{hop="authorization_token",instance="cri-1"} 1700000000"#,
        r#"token_cache_requests_total{hop="bearer",instance="cri-1",result="shared"} 1"#,
        r#"upstream_requests_total{instance="cri-1",outcome="ok",target="oss"} 1"#,
        r#"upstream_request_duration_seconds_count{instance="cri-1",outcome="ok",target="oss"} 1"#,
        r#"upstream_retries_total{instance="cri-1",outcome="refused",target="registry"} 1"#,
        r#"blob_resumes_total{instance="cri-1"} 1"#,
        r#"last_success_timestamp_seconds{instance="cri-1"} 1700000000"#,
        r#"config_reload_success 1"#,
        r#"config_reload_timestamp_seconds 1700000000"#,
        r#"clock_skew_seconds -1.5"#,
        r#"build_info{commit="abc",version="0.1.0"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == format!("acr_pull_proxy_{line}")), "{line} is missing in\n{text}");
    }
    assert!(text.contains("\nprocess_resident_memory_bytes "));
}

#[test]
fn what_a_scrape_holds_at_zero_does_not_grow_with_the_number_of_instances() {
    let metrics = Metrics::new();
    let instance = |number: usize| metrics.instance(&InstanceId::parse(&format!("cri-{number}")).unwrap());
    let buckets = || series(&metrics.render().unwrap(), "acr_pull_proxy_request_duration_seconds_bucket{").len();
    let _unrouted = metrics.unrouted();
    assert_eq!(buckets(), 0, "what leads nowhere is no pull");
    let first: Vec<_> = (0..20).map(instance).collect();
    let most = buckets();
    let _more = instance(20);
    assert_eq!(buckets(), most);
    drop(first);
    let _place = instance(21);
    assert!(buckets() > most, "the place of one that is gone");
}

#[test]
fn of_several_roles_the_session_that_dies_first_is_shown() {
    let metrics = Metrics::new();
    let instance = metrics.instance(&InstanceId::parse("cri-1").unwrap());
    let at = |second| Timestamp::from_second(second).unwrap();
    let (first, last) = (instance.token_holder(Hop::AssumeRole), instance.token_holder(Hop::AssumeRole));
    let shown = || {
        let text = metrics.render().unwrap();
        ["issued", "expiry"].map(|which| {
            let name =
                format!("acr_pull_proxy_token_{which}_timestamp_seconds{{hop=\"assume_role\",instance=\"cri-1\"}} ");
            series(&text, &name).first().map(|line| line.rsplit(" ").next().unwrap().parse::<i64>().unwrap())
        })
    };
    assert_eq!(shown(), [None, None]);
    instance.token_held(first, at(10), at(910));
    instance.token_held(last, at(20), at(3620));
    assert_eq!(shown(), [Some(10), Some(910)], "the last role's session lives longer");
    instance.token_held(first, at(800), at(4400));
    assert_eq!(shown(), [Some(20), Some(3620)], "now the first role's does");
}

#[test]
fn an_instance_built_anew_counts_on_and_one_forgotten_leaves_no_series() {
    let metrics = Metrics::new();
    let id = InstanceId::parse("cri-1").unwrap();
    let other = InstanceId::parse("cri-2").unwrap();
    metrics.instance(&id).blob_part();
    metrics.instance(&other).blob_part();
    metrics.instance(&id).blob_part();
    assert_eq!(series(&metrics.render().unwrap(), r#"acr_pull_proxy_blob_parts_total{instance="cri-1"}"#).len(), 1);
    metrics.forget(&id);
    let text = metrics.render().unwrap();
    assert!(!text.contains("cri-1"), "{text}");
    assert!(text.contains(r#"acr_pull_proxy_blob_parts_total{instance="cri-2"} 1"#));
}

/// Check 24 (`tests/it/peers.rs`).
#[test]
fn a_bad_configuration_keeps_the_time_of_the_last_good_one() {
    let metrics = Metrics::new();
    metrics.config_read(true, Timestamp::from_second(1000).unwrap());
    metrics.config_read(false, Timestamp::from_second(2000).unwrap());
    let text = metrics.render().unwrap();
    assert!(text.contains("\nacr_pull_proxy_config_reload_success 0\n"));
    assert!(text.contains("\nacr_pull_proxy_config_reload_timestamp_seconds 1000\n"));
}
