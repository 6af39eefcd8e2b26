//! Twenty-four checks drawn from the bugs of other mirrors, proxies and credential helpers, and the tests that show each.
//!
//! The table is held against the sources: a test that it names must exist, and must quote the number in its name or in the
//! comment above it, so that whoever changes the one is led to the other.

mod bodies;
mod load;
mod table;
mod time;

use std::fs;
use std::path::Path;

use crate::support::Node;
use crate::support::node::get;
use table::{CHECKS, Check};

#[test]
fn every_check_is_shown_by_tests_that_exist_and_quote_its_number() {
    let numbers: Vec<u32> = CHECKS.iter().map(|check| check.number).collect();
    assert_eq!(numbers, (1..=24).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for Check { number, what, shown_by, .. } in CHECKS {
        assert!(!shown_by.is_empty(), "{number}: {what}");
        for (file, name) in *shown_by {
            match comment_above(file, name) {
                None => wrong.push(format!("{number}: there is no test {name} in {file}")),
                Some(comment) if !quotes(&comment, *number) && !quotes(name, *number) => {
                    wrong.push(format!("{number}: {name} in {file} does not quote the number: {comment:?}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_left_open_is_told() {
    for check in CHECKS {
        if let Some(open) = check.open {
            println!("check {}: {} {open}", check.number, check.what);
        }
    }
    assert!(
        quotes("Checks 14 and 15.", 15)
            && quotes("check_10_a_loop_ends", 10)
            && !quotes("Check 14.", 15)
            && !quotes("At 15 MB/s.", 15)
    );
    assert_eq!(comment_above("tests/it/peers.rs", "no_such_test"), None);
}

/// The comment of a test: the lines between it and what stands before it.
fn comment_above(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.contains(&format!("fn {name}(")))?;
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["));
    let above: Vec<&str> = above.copied().collect();
    let is_test = above.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    let comment = above.into_iter().rev().filter_map(|line| line.strip_prefix("///"));
    is_test.then(|| comment.collect::<Vec<_>>().join(" "))
}

fn quotes(comment: &str, number: u32) -> bool {
    let comment = comment.to_ascii_lowercase();
    let Some((_, behind)) = comment.split_once("check") else { return false };
    behind.split(|char: char| !char.is_ascii_digit()).any(|word| word == number.to_string())
}

/// The value of a metric of the daemon, 0 where it has none yet.
async fn metric(node: &Node, name: &str, labels: &[(&str, &str)]) -> f64 {
    value(&get(node.daemon.admin, "/metrics").await.1, name, labels)
}

/// The value of the one series of `name` that has these labels.
fn value(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_it = |line: &&str| {
        let series = line.strip_prefix("acr_pull_proxy_").and_then(|line| line.strip_prefix(name));
        series.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let line = metrics.lines().find(is_it);
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().expect("a number"))
}
