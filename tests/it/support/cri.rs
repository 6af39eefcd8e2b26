//! Two calls of the Kubernetes CRI image service, spoken by hand.
//!
//! A PullImage request is one nested string field (`cri-api` v1, `api.proto`): a gRPC stack and a code generator would be
//! far more to trust than these lines.

use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

/// Asks the CRI socket to pull `image`, as the kubelet does, and gives the image reference it answers with.
///
/// # Errors
/// The status message of the call: the text that ends up in the pod's event.
pub(crate) async fn pull_image(socket: &Path, image: &str) -> Result<String, String> {
    pull_image_as(None, socket, image).await
}

/// The same with the user and password of a pull secret.
///
/// # Errors
/// As [`pull_image`].
pub(crate) async fn pull_image_as(login: Option<(&str, &str)>, socket: &Path, image: &str) -> Result<String, String> {
    let mut request = message_field(1, &string_field(1, image));
    if let Some((user, password)) = login {
        let auth = [string_field(1, user), string_field(2, password)].concat();
        request.extend(message_field(2, &auth));
    }
    let answer = call(socket, "/runtime.v1.ImageService/PullImage", &request).await?;
    // PullImageResponse { string image_ref = 1 }; a reference is shorter than 128 bytes.
    let text = answer.get(2..).expect("an image reference");
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// One unary gRPC call over a Unix socket.
#[expect(clippy::disallowed_methods, reason = "the answer comes from our own containerd, and the trailers are needed")]
async fn call(socket: &Path, path: &str, message: &[u8]) -> Result<Bytes, String> {
    let stream = UnixStream::connect(socket).await.expect("the CRI socket");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let mut frame = BytesMut::new();
    frame.put_u8(0); // not compressed
    frame.put_u32(u32::try_from(message.len()).expect("a short message"));
    frame.put_slice(message);
    let request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame.freeze()))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let head = response.headers().clone();
    let body = response.into_body().collect().await.expect("a body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    let field = |name: &str| trailers.get(name).or_else(|| head.get(name)).and_then(|value| value.to_str().ok());
    match field("grpc-status") {
        Some("0") => Ok(body.to_bytes().slice(5..)),
        status => Err(format!("{}: {}", status.unwrap_or("no status"), field("grpc-message").unwrap_or_default())),
    }
}

fn string_field(number: u8, text: &str) -> Vec<u8> {
    message_field(number, text.as_bytes())
}

/// A length-delimited protobuf field with a field number below 16.
fn message_field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![(number << 3) | 2];
    let mut length = content.len();
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).expect("seven bits"));
    field.extend_from_slice(content);
    field
}
