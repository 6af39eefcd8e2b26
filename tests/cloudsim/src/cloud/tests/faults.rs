//! Scripted faults as a client sees them.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::SignedDuration;

use super::client::get;
use super::{Client, CloudSim, DOMAIN, STS, ready, signed_url};
use crate::fault::{Effect, Fault};
use crate::hash::sha256;
use crate::journal::Service;

/// Larger than any buffer between the two ends, so that nothing can hide in one.
const LAYER: usize = 3_000_000;

/// Where the faults strike: within a frame of the body, and past the first ones.
const PLACE: usize = 1_000_001;

/// Reads until the end or the first error.
async fn read(answer: Response<Incoming>) -> (usize, Option<hyper::Error>) {
    let mut body = answer.into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

#[tokio::test]
async fn a_cut_body_has_exactly_its_bytes_and_is_no_clean_end() {
    let (cloud, client, image, bearer) = ready(LAYER).await;
    let (host, path) = signed_url(&client, &image, &bearer).await;
    let id = cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(PLACE as u64)).once());
    let answer = client.head(get(&host, &path).0).await.unwrap();
    assert!(answer.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap() > LAYER);
    let (read, error) = read(answer).await;
    assert_eq!(read, PLACE);
    assert!(error.is_some());
    assert_eq!(cloud.faults().struck(id), 1);
    let again = client.send(get(&host, &path).0).await.unwrap();
    assert_eq!(sha256(again.body()), image.layers[0], "the fault is used up");
}

#[tokio::test]
async fn a_reset_reaches_the_client_as_a_reset() {
    let (cloud, client, image, bearer) = ready(LAYER).await;
    let (host, path) = signed_url(&client, &image, &bearer).await;
    cloud.fault(Fault::on(Service::Oss, Effect::ResetAfter(0)));
    let (_, error) = read(client.head(get(&host, &path).0).await.unwrap()).await;
    let error = error.expect("the body cannot end well");
    let mut source: Option<&dyn std::error::Error> = Some(&error);
    let mut kinds = Vec::new();
    while let Some(error) = source {
        kinds.extend(error.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
        source = error.source();
    }
    assert!(kinds.contains(&std::io::ErrorKind::ConnectionReset), "{error:?}");
}

#[tokio::test]
async fn a_cut_over_http2_fails_the_body_too() {
    let (cloud, client, image, bearer) = ready(LAYER).await;
    cloud.configure(|settings| settings.blob_url.direct_up_to = u64::MAX);
    let ask = || client.send_http2(get(DOMAIN, &format!("/v2/team/app/blobs/{}", image.layers[0])).bearer(&bearer));
    assert_eq!(sha256(ask().await.unwrap().body()), image.layers[0]);
    cloud.fault(Fault::on(Service::Registry, Effect::CutAfter(PLACE as u64)).path_contains("/blobs/"));
    assert!(ask().await.is_err());
}

#[tokio::test]
async fn a_stalled_body_stays_open() {
    let (cloud, client, image, bearer) = ready(LAYER).await;
    let (host, path) = signed_url(&client, &image, &bearer).await;
    cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(PLACE as u64)));
    let mut body = client.head(get(&host, &path).0).await.unwrap().into_body();
    let mut read = 0;
    while read < PLACE {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
    assert_eq!(read, PLACE);
    assert!(!cloud.journal().of(Service::Oss)[0].over);
    drop(body);
    cloud.journal().wait_for(|entries| entries.iter().all(|entry| entry.over)).await;
}

#[tokio::test]
async fn a_short_body_and_wrong_bytes_look_clean_to_http() {
    let (cloud, client, image, bearer) = ready(LAYER).await;
    let (host, path) = signed_url(&client, &image, &bearer).await;
    cloud.fault(Fault::on(Service::Oss, Effect::ShortBody(PLACE as u64)).once());
    cloud.fault(Fault::on(Service::Oss, Effect::WrongBytes).once());
    assert_eq!(client.send(get(&host, &path).0).await.unwrap().body().len(), PLACE);
    let wrong = client.send(get(&host, &path).0).await.unwrap();
    assert!(wrong.body().len() > LAYER);
    assert_ne!(sha256(wrong.body()), image.layers[0]);
}

#[tokio::test]
async fn expired_urls_come_from_either_side() {
    let (cloud, client, image, bearer) = ready(1_000).await;
    let (host, path) = signed_url(&client, &image, &bearer).await;
    cloud.fault(Fault::on(Service::Oss, Effect::ExpiredSignature).once());
    cloud.fault(Fault::on(Service::Registry, Effect::ExpiredSignature).once());
    let refused = client.send(get(&host, &path).0).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(String::from_utf8_lossy(refused.body()).contains("Request has expired."));
    let (host, path) = signed_url(&client, &image, &bearer).await;
    assert_eq!(client.send(get(&host, &path).0).await.unwrap().status(), StatusCode::FORBIDDEN);
    let (host, path) = signed_url(&client, &image, &bearer).await;
    assert_eq!(client.send(get(&host, &path).0).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn heads_can_fail_in_every_way() {
    let cloud = CloudSim::start().await.unwrap();
    let client = Client::trusting(&cloud);
    let ask = || client.send(get(DOMAIN, "/v2/").0);
    cloud.fault(Fault::on(Service::Registry, Effect::CloseBeforeHead).once());
    assert!(ask().await.is_err());
    cloud.fault(Fault::on_any(Effect::RefuseConnection).host(DOMAIN).once());
    assert!(ask().await.is_err());
    cloud.fault(Fault::on(Service::Registry, Effect::answer(StatusCode::BAD_GATEWAY, "no")).once());
    assert_eq!(ask().await.unwrap().status(), StatusCode::BAD_GATEWAY);
    cloud.fault(Fault::on(Service::Registry, Effect::Redirect("https://elsewhere.example/".to_owned())).once());
    assert_eq!(ask().await.unwrap().headers()["location"], "https://elsewhere.example/");
    cloud.fault(Fault::on(Service::Sts, Effect::Throttle302).once());
    let throttled = client.send(get(STS, "/").0).await.unwrap();
    assert_eq!((throttled.status(), throttled.body().len()), (StatusCode::FOUND, 0));
    let honest = ask().await.unwrap();
    cloud.fault(Fault::on(Service::Registry, Effect::SkewedDate(SignedDuration::from_hours(-2))).once());
    let skewed = ask().await.unwrap();
    let date =
        |answer: &Response<Bytes>| httpdate::parse_http_date(answer.headers()["date"].to_str().unwrap()).unwrap();
    assert!(date(&honest).duration_since(date(&skewed)).unwrap().as_secs() >= 7_100);
}

#[tokio::test]
async fn silence_lasts_until_the_client_leaves() {
    let cloud = CloudSim::start().await.unwrap();
    let client = Client::trusting(&cloud);
    cloud.fault(Fault::on(Service::Registry, Effect::Silence));
    tokio::select! {
        _ = client.send(get(DOMAIN, "/v2/").0) => panic!("nothing was to be answered"),
        () = cloud.journal().wait_for(|entries| !entries.is_empty()) => {}
    }
    cloud.journal().wait_for(|entries| entries.iter().all(|entry| entry.over)).await;
    assert_eq!(cloud.journal().entries()[0].status, None);
}
