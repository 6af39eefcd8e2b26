use std::time::Duration;

use super::{
    api_host, base_url, closest, distance, duration, duration_text, host_pattern, repository_pattern, size, size_text,
    target, target_text,
};

#[test]
fn durations_read_as_they_are_written() {
    for (text, seconds) in [("30s", 30), ("15m", 900), ("1h", 3600), ("1h30m", 5400), ("1m1s", 61)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        assert_eq!(duration_text(Duration::from_secs(seconds)), text);
    }
    assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("500ms").map(duration_text).as_deref(), Ok("500ms"));
    for text in ["", "15", "15 m", "m", "1d", "-1s", "1.5h", "99999999999h", "1h30", "15分"] {
        assert!(duration(text).is_err(), "{text:?} passed");
    }
}

#[test]
fn sizes_read_as_they_are_written() {
    for (text, bytes) in [("8MiB", 8 << 20), ("512KiB", 512 << 10), ("1GiB", 1 << 30), ("7B", 7)] {
        assert_eq!(size(text), Ok(bytes), "{text}");
        assert_eq!(size_text(bytes), text);
    }
    assert_eq!(size("4096"), Ok(4096));
    for text in ["", "MiB", "8MB", "8m", "-8MiB", "99999999999GiB"] {
        assert!(size(text).is_err(), "{text:?} passed");
    }
}

#[test]
fn a_target_is_an_address_or_a_name_with_or_without_a_port() {
    for text in ["192.168.0.10", "192.168.0.10:8443", "::1", "[::1]:443", "ep.example.com", "ep.example.com:443"] {
        assert_eq!(target(text).as_ref().map(target_text).as_deref(), Ok(text));
    }
    for text in ["", "192.168.0.256", "192.168.0.10:0", "host:70000", "https://host", "10.0.0.0/8", "[::1]"] {
        assert!(target(text).is_err(), "{text:?} passed");
    }
}

#[test]
fn api_hosts_and_base_urls_hold_no_path() {
    assert_eq!(api_host("https://STS.aliyuncs.com/").as_deref(), Ok("sts.aliyuncs.com"));
    assert!(api_host("http://sts.aliyuncs.com").is_err());
    assert_eq!(base_url("http://100.100.100.200/").as_deref(), Ok("http://100.100.100.200"));
    assert!(base_url("http://100.100.100.200/latest").is_err());
    assert!(base_url("https://user@host").is_err());
}

#[test]
fn a_pattern_never_covers_a_top_level_domain() {
    assert_eq!(host_pattern("*.OSS.example.com").as_deref(), Ok("*.oss.example.com"));
    for text in ["*", "*.com", "*.*.com", "a.*.com", "host:443", "a b"] {
        assert!(host_pattern(text).is_err(), "{text:?} passed");
    }
}

#[test]
fn repository_patterns_hold_no_host_and_no_upper_case() {
    for text in ["team/*", "base/**", "app", "team/app-*", "**/x"] {
        assert!(repository_pattern(text).is_ok(), "{text}");
    }
    for text in ["", "/team", "team/", "Team/*", "host:5000/team", "a***b", "team/**x"] {
        assert!(repository_pattern(text).is_err(), "{text:?} passed");
    }
}

#[test]
fn a_slip_of_the_pen_is_recognised() {
    let known = ["assumeRoleARN", "expireDuration", "domains"];
    assert_eq!(closest("assumeRoleArn", &known), Some("assumeRoleARN"));
    assert_eq!(closest("expire-duration", &known), Some("expireDuration"));
    assert_eq!(closest("domain", &known), Some("domains"));
    assert_eq!(closest("password", &known), None);
    assert_eq!(closest("x", &["a"]), None);
    assert_eq!(distance(b"kitten", b"sitting"), 3);
}
