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
    assert!(series(&text, "acr_pull_proxy_request_duration_seconds").is_empty(), "histograms come when used");
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
    instance.token_held(Hop::AuthorizationToken, at, at);
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
        r#"requests_in_flight{instance="cri-1",kind="blob",method="GET"} 1"#,
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
