use std::time::Duration;

use cloudsim::fault::{Effect, Fault};
use cloudsim::journal::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::support::{Setup, World};
use crate::proxy::Params;

/// Asks for a layer and reads its head only.
async fn begin(world: &World) -> TcpStream {
    let (digest, _) = world.layer();
    let request =
        format!("GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", world.target(&format!("blobs/{digest}")));
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 16]).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> usize {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes.len()
}

#[tokio::test]
async fn what_is_in_flight_ends_before_the_server_does() {
    let world = World::new().await;
    let stream = begin(&world).await;
    world.shut_down();
    let (_, layer) = world.layer();
    assert!(rest(stream).await > layer.len());
    let World { served, address, .. } = world;
    timeout(Duration::from_secs(5), served).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn who_connected_before_the_end_is_answered_after_it() {
    let world = World::new().await;
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    world.shut_down();
    // Until the address is closed: by then the connection has been taken out of the queue.
    // Asked seldom, since a queue that fills again is not left.
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    silent.write_all(b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Check 21 (`tests/it/peers.rs`).
#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let face = Params { drain: Duration::from_millis(200), ..Params::default() };
    let world = World::with(Setup { face, ..Setup::default() }).await;
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(1_000)).once());
    let stream = begin(&world).await;
    world.shut_down();
    let (_, layer) = world.layer();
    assert!(rest(stream).await < layer.len());
    timeout(Duration::from_secs(5), world.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_place_is_held_until_the_last_byte_has_gone() {
    let face = Params { in_flight: 1, ..Params::default() };
    let world = World::with(Setup { face, ..Setup::default() }).await;
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(1_000)).once());
    let stream = begin(&world).await;
    let refused = world.get("/v2/").await;
    assert_eq!((refused.status.as_u16(), refused.error().code.as_str()), (503, "UNAVAILABLE"));
    drop(stream);
    let served = async {
        while world.get("/v2/").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), served).await.unwrap();
}

/// A connection over HTTP/2 that has carried a request and stays.
async fn idle_over_http2(world: &World) -> impl Sized {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}/v2/", world.address)).body(crate::http::body::empty());
    assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), 200);
    (sender, connection)
}

/// How many connections there may be in these tests.
const PLACES: usize = 4;

/// A face with few places.
async fn narrow() -> World {
    let face = Params { connections: PLACES, ..Params::default() };
    World::with(Setup { face, ..Setup::default() }).await
}

/// Far less than any limit on a connection that does nothing.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_silent_crowd_keeps_nobody_out() {
    let world = narrow().await;
    let mut crowd = Vec::new();
    for number in 0..10 * PLACES {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all([&b""[..], b"GET /v2/", b"PRI * HT"][number % 3]).await.ok();
        crowd.push(stream);
    }
    let answer = timeout(SOON, world.get(&world.target("manifests/v1"))).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn idle_connections_over_http2_keep_nobody_out() {
    let world = narrow().await;
    let mut crowd = Vec::new();
    for _ in 0..PLACES {
        crowd.push(idle_over_http2(&world).await);
    }
    let (digest, layer) = world.layer();
    let answer = timeout(SOON, world.get(&world.target(&format!("blobs/{digest}")))).await.unwrap();
    assert_eq!(answer.bytes(), layer);
}

#[tokio::test]
async fn where_every_connection_carries_a_request_a_newcomer_is_told_at_once() {
    let world = narrow().await;
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(1_000)).times(PLACES as u64));
    let mut readers = Vec::new();
    for _ in 0..PLACES {
        readers.push(begin(&world).await);
    }
    for _ in 0..PLACES {
        let refused = timeout(SOON, world.get("/v2/")).await.unwrap();
        assert_eq!((refused.status.as_u16(), refused.error().code.as_str()), (503, "UNAVAILABLE"));
        assert_eq!(refused.header("connection"), "close");
    }
    // One that has gone is a place, and what goes on is not disturbed.
    drop(readers.pop());
    let served = async {
        while world.get("/v2/").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, served).await.unwrap();
    for reader in &readers {
        // What has come of the answer, and then nothing: no end of it.
        while matches!(reader.try_read(&mut [0; 4096]), Ok(1..)) {}
        assert!(reader.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
}

/// Those who are told that there is no place are limited too, and beyond that a connection is closed without a word.
#[tokio::test]
async fn a_crowd_before_a_full_house_takes_no_more_descriptors_than_are_set_aside_for_it() {
    let world = narrow().await;
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(1_000)).times(PLACES as u64));
    let mut readers = Vec::new();
    for _ in 0..PLACES {
        readers.push(begin(&world).await);
    }
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(world.address).await.unwrap());
    }
    let refused = timeout(SOON, world.get("/v2/")).await.unwrap();
    assert_eq!(refused.status, 503);
    // All of them are closed before the time of a connection that is served.
    for mut stream in crowd {
        timeout(SOON, stream.read_to_end(&mut Vec::new())).await.unwrap().ok();
    }
}

#[tokio::test]
async fn blobs_beyond_what_memory_allows_wait_a_moment_and_manifests_do_not() {
    let face = Params { streams: 1, ..Params::default() };
    let world = World::with(Setup { face, ..Setup::default() }).await;
    world.cloud.fault(Fault::on(Service::Oss, Effect::StallAfter(1_000)).once());
    let first = begin(&world).await;
    let (digest, layer) = world.layer();
    let target = world.target(&format!("blobs/{digest}"));
    assert_eq!(world.get(&world.target("manifests/v1")).await.status, 200);
    assert_eq!(world.ask("HEAD", &target, &[]).await.status, 200);
    let mut second = std::pin::pin!(world.get(&target));
    assert!(timeout(Duration::from_millis(200), &mut second).await.is_err());
    drop(first);
    assert_eq!(timeout(SOON, second).await.unwrap().bytes(), layer);
}

#[tokio::test]
async fn http2_without_tls_is_served_beside_http1() {
    let world = World::new().await;
    let stream = TcpStream::connect(world.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let target = format!("http://{}{}", world.address, world.target("manifests/v1"));
    let request = http::Request::get(target).body(crate::http::body::empty()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}
