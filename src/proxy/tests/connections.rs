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

#[tokio::test]
async fn connections_beyond_the_limit_wait_their_turn() {
    let face = Params { connections: 1, ..Params::default() };
    let world = World::with(Setup { face, ..Setup::default() }).await;
    let first = begin(&world).await;
    let second = world.raw(b"GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (length, answer) = tokio::join!(rest(first), second);
    assert!(length > 0);
    assert!(answer.unwrap().starts_with(b"HTTP/1.1 200 "));
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
