//! Outcomes and waiting.

use super::*;

fn entry(service: Service, query: &str, authorization: Option<&str>) -> Entry {
    Entry {
        service,
        method: Method::GET,
        host: "host".to_owned(),
        path: "/".to_owned(),
        query: query.to_owned(),
        action: None,
        header_names: Vec::new(),
        authorization: authorization.map(str::to_owned),
        range: None,
        tls_name: None,
        tls_resumed: false,
        version: Version::HTTP_11,
        peer: ([127, 0, 0, 1], 1).into(),
        connection: 1,
        at: Timestamp::UNIX_EPOCH,
        arrived: Instant::now(),
        status: None,
        bytes_sent: 0,
        over: false,
    }
}

#[test]
fn outcomes_reach_their_entry_and_late_ones_after_clear_are_ignored() {
    let journal = Journal::default();
    let early = journal.begin(entry(Service::Oss, "Expires=1&Signature=x", None));
    early.answered(StatusCode::PARTIAL_CONTENT);
    assert_eq!(journal.of(Service::Oss)[0].status, Some(206));
    assert_eq!(journal.of(Service::Oss)[0].query_names().collect::<Vec<_>>(), ["Expires", "Signature"]);
    journal.clear();
    let mut late = journal.begin(entry(Service::Sts, "", Some("Bearer")));
    early.answered(StatusCode::BAD_GATEWAY);
    late.sent(7);
    assert_eq!(journal.entries().len(), 1);
    assert_eq!(journal.authorizations_at(Service::Sts)[0].bytes_sent, 7);
    assert_eq!(journal.of(Service::Sts)[0].status, None);
    assert!(!journal.of(Service::Sts)[0].over);
    drop(late);
    assert!(journal.of(Service::Sts)[0].over);
}

#[tokio::test]
async fn waiting_ends_with_the_entry_that_was_waited_for() {
    let journal = Journal::default();
    let (waited, ()) = tokio::join!(
        async {
            journal.wait_for(|entries| entries.len() == 2).await;
            journal.count(Service::Cr)
        },
        async {
            tokio::task::yield_now().await;
            drop(journal.begin(entry(Service::Cr, "", None)));
            drop(journal.begin(entry(Service::Cr, "", None)));
        }
    );
    assert_eq!(waited, 2);
}
