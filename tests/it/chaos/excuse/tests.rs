use std::time::Duration;

use cloudsim::journal::Service;
use tokio::time::advance;

use super::super::HEALED;
use super::super::plan::{Kind, Out, Sort, Told};
use super::super::record::Record;
use tokio::time::Instant;

const BUCKET: &str = "/v2/x: 502 acr-pull-proxy: cloud: status 503 from demo.oss-cn-hangzhou.aliyuncs.com";
const REGISTRY: &str = "/v2/x: 502 acr-pull-proxy: cloud: status 503 from demo-registry.cn-hangzhou.cr.aliyuncs.com";

fn fail(record: &Record, side: &'static str, what: &str, wrong: bool) {
    record.failed("a client", side, Instant::now(), what.to_owned(), wrong);
}

#[tokio::test(start_paused = true)]
async fn an_outage_excuses_what_is_said_to_be_its_own_until_shortly_after_and_a_moment_nothing() {
    let record = Record::new();
    let moment = record.open("503 once", Sort::BadAnswer, Kind::Moment, None);
    fail(&record, "stays", BUCKET, false);
    record.close(moment, 1);
    advance(Duration::from_secs(1)).await;
    let outage = record.open("all 503", Sort::ServiceOutage, Kind::Outage(Out::Service(Service::Oss)), None);
    fail(&record, "stays", BUCKET, false);
    fail(&record, "stays", REGISTRY, false);
    fail(&record, "stays", "/v2/x: 404 acr-pull-proxy: not found in the registry (oss-)", false);
    fail(&record, "stays", "wrong bytes", true);
    record.close(outage, 2);
    advance(HEALED).await;
    fail(&record, "stays", BUCKET, false);
    advance(Duration::from_secs(1)).await;
    fail(&record, "stays", BUCKET, false);
    let verdict = record.verdict();
    assert_eq!((verdict.avoidable, verdict.corrupt), (4, 1), "{}", verdict.text);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_gone_excuses_bodies_that_were_cut_meanwhile_and_no_other_outage_does() {
    const CUT: &str = "failed to read expected number of bytes: unexpected EOF";
    let record = Record::new();
    let away = record.open("permission away", Sort::PermissionAway, Kind::Outage(Out::Permission), None);
    fail(&record, "stays", CUT, false);
    record.close(away, 1);
    advance(Duration::from_secs(1)).await;
    fail(&record, "stays", CUT, false);
    let outage = record.open("all 503", Sort::ServiceOutage, Kind::Outage(Out::Service(Service::Oss)), None);
    fail(&record, "stays", CUT, false);
    record.close(outage, 1);
    let verdict = record.verdict();
    assert_eq!((verdict.avoidable, verdict.corrupt), (2, 0), "{}", verdict.text);
}

#[tokio::test(start_paused = true)]
async fn a_kill_excuses_broken_connections_to_that_daemon_alone() {
    let record = Record::new();
    let kill = record.open("kill -9", Sort::Kill, Kind::Killed, Some("restarts"));
    fail(&record, "restarts", "connection reset", false);
    fail(&record, "restarts", BUCKET, false);
    fail(&record, "stays", "connection reset", false);
    record.close(kill, 1);
    let verdict = record.verdict();
    assert_eq!((verdict.avoidable, verdict.corrupt), (2, 0), "{}", verdict.text);
}

#[tokio::test(start_paused = true)]
async fn a_lie_excuses_as_many_wrong_answers_as_were_given() {
    let record = Record::new();
    let lie = record.open("wrong bytes", Sort::WrongBytes, Kind::Lie(Told::WrongContent), None);
    fail(&record, "stays", BUCKET, false);
    fail(&record, "stays", "wrong bytes", true);
    fail(&record, "stays", "wrong bytes", true);
    record.close(lie, 1);
    let verdict = record.verdict();
    assert_eq!((verdict.avoidable, verdict.corrupt), (1, 1), "{}", verdict.text);
}

#[tokio::test(start_paused = true)]
async fn the_excused_share_counts_windows_that_overlap_once_and_what_heals() {
    let record = Record::new();
    let outage = record.open("names", Sort::NamesOutage, Kind::Outage(Out::Names), None);
    let kill = record.open("kill -9", Sort::Kill, Kind::Killed, Some("restarts"));
    advance(Duration::from_secs(2)).await;
    record.close(kill, 1);
    record.close(outage, 1);
    let moment = record.open("503 once", Sort::BadAnswer, Kind::Moment, None);
    advance(Duration::from_secs(30)).await;
    record.close(moment, 0);
    assert_eq!(record.excused(), Duration::from_secs(2) + HEALED);
    let verdict = record.verdict();
    assert_eq!(verdict.excused_share, 25, "{}", verdict.text);
    assert!(verdict.missing.contains(&Sort::BadAnswer) && !verdict.missing.contains(&Sort::Kill));
}
