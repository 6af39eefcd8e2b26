use std::time::Duration;

use super::{FIRST_REST, Hosts, LONGEST_REST};
use crate::http::origin::Origin;
use crate::oci::{InstanceId, RegistryHost};

fn host(name: &str) -> RegistryHost {
    RegistryHost::parse(name).unwrap()
}

fn instance() -> InstanceId {
    InstanceId::parse("cri-1").unwrap()
}

fn pair() -> (Hosts, RegistryHost, RegistryHost) {
    let (vpc, public) = (host("vpc.test"), host("public.test"));
    (Hosts::new(instance(), vec![vpc.clone(), public.clone()]), vpc, public)
}

#[test]
fn without_pull_from_each_domain_is_asked_under_its_own_name() {
    let hosts = Hosts::new(instance(), Vec::new());
    hosts.failed(&host("a.test"), None);
    assert_eq!(hosts.order(&host("a.test")), [host("a.test")]);
    assert_eq!(hosts.due(), None);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_fails_is_asked_last_until_somebody_reached_it() {
    let (hosts, vpc, public) = pair();
    assert_eq!(hosts.order(&public), [vpc.clone(), public.clone()]);
    hosts.failed(&vpc, None);
    assert_eq!(hosts.order(&vpc), [public.clone(), vpc.clone()]);
    assert_eq!(hosts.due(), None, "it rests");
    tokio::time::advance(FIRST_REST).await;
    assert_eq!(hosts.due(), Some((vpc.clone(), None)));
    assert_eq!(hosts.due(), None, "one tries, the others go on");
    assert_eq!(hosts.order(&vpc)[0], public, "no pull is the one that finds out");
    hosts.tried(&vpc, true);
    assert_eq!(hosts.order(&vpc)[0], vpc);
}

#[tokio::test(start_paused = true)]
async fn rests_grow_while_failures_go_on_and_are_short_again_after_a_good_time() {
    let (hosts, vpc, _) = pair();
    let rest = async || {
        let begun = tokio::time::Instant::now();
        while hosts.due().is_none() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        begun.elapsed()
    };
    hosts.failed(&vpc, None);
    assert_eq!(rest().await, FIRST_REST);
    hosts.tried(&vpc, false);
    assert_eq!(rest().await, FIRST_REST * 2);
    // It can be connected to, and leads nowhere.
    hosts.tried(&vpc, true);
    hosts.failed(&vpc, None);
    assert_eq!(rest().await, FIRST_REST * 4);
    for _ in 0..9 {
        hosts.tried(&vpc, false);
        assert!(rest().await <= LONGEST_REST);
    }
    hosts.tried(&vpc, true);
    tokio::time::advance(LONGEST_REST).await;
    hosts.failed(&vpc, None);
    assert_eq!(rest().await, FIRST_REST);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_out_of_reach_speaks_against_the_host_that_leads_there() {
    let (hosts, vpc, public) = pair();
    let bucket = Origin::https("b.oss-internal").unwrap();
    hosts.led(&vpc, "b.oss-internal");
    assert!(hosts.has_another_than("b.oss-internal"));
    assert!(!hosts.avoids("b.oss-internal"));
    hosts.bucket_failed(&bucket);
    assert!(hosts.avoids("b.oss-internal") && !hosts.avoids("b.oss"));
    assert_eq!(hosts.order(&vpc)[0], public);
    hosts.led(&public, "b.oss");
    assert!(!hosts.has_another_than("b.oss"), "the other one rests");
    tokio::time::advance(FIRST_REST).await;
    assert_eq!(hosts.due(), Some((vpc.clone(), Some(bucket))), "the bucket is tried as well");
    hosts.failed(&public, None);
    assert!(!hosts.avoids("b.oss-internal"), "nobody is awake");
}

#[tokio::test(start_paused = true)]
async fn where_all_fail_all_are_still_asked_in_their_order() {
    let (hosts, vpc, public) = pair();
    hosts.failed(&public, None);
    hosts.failed(&vpc, None);
    assert_eq!(hosts.order(&vpc), [vpc, public]);
}
