use super::support::{VPC, World};

/// Check 14 (`tests/it/peers.rs`).
#[tokio::test]
async fn what_is_no_pull_is_refused_without_a_request_to_the_upstream() {
    let world = World::new().await;
    let good = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let upload = format!("/v2/team/app/blobs/uploads/?ns={VPC}");
    let cases = [
        ("PUT", world.target("manifests/v1"), 405, "UNSUPPORTED"),
        ("POST", upload.clone(), 405, "UNSUPPORTED"),
        ("PATCH", upload.clone(), 405, "UNSUPPORTED"),
        ("DELETE", world.target("manifests/v1"), 405, "UNSUPPORTED"),
        ("OPTIONS", world.target("manifests/v1"), 405, "UNSUPPORTED"),
        ("GET", upload, 404, "NAME_UNKNOWN"),
        ("GET", format!("/v2/_catalog?ns={VPC}"), 404, "NAME_UNKNOWN"),
        ("GET", "/".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/team/app/manifests/v1".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/team/app/manifests/v1?ns=other.example.com".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/team/app/manifests/v1?ns=".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/?ns=other.example.com".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", world.target("manifests/-v1"), 404, "MANIFEST_UNKNOWN"),
        ("GET", world.target("manifests/sha256:totallywrong"), 404, "MANIFEST_UNKNOWN"),
        ("GET", world.target("blobs/sha256:totallywrong"), 404, "DIGEST_INVALID"),
        ("GET", world.target("referrers/v1"), 400, "DIGEST_INVALID"),
        ("GET", format!("/v2/Team/app/blobs/{good}?ns={VPC}"), 404, "NAME_INVALID"),
        ("GET", world.target("manifests/v%zz"), 400, "NAME_INVALID"),
        ("GET", world.target("manifests/v%00"), 400, "NAME_INVALID"),
        ("GET", "/v2/team/app/manifests/v1?ns=%".to_owned(), 400, "NAME_INVALID"),
        ("GET", format!("/v2/team/../app/manifests/v1?ns={VPC}"), 400, "NAME_INVALID"),
        ("GET", format!("/v2/team/%2e%2e/app/manifests/v1?ns={VPC}"), 400, "NAME_INVALID"),
        ("GET", format!("/v2/team%2Fapp/manifests/v1?ns={VPC}"), 400, "NAME_INVALID"),
        ("GET", world.target(&format!("manifests/{}", "v".repeat(5000))), 414, "NAME_INVALID"),
    ];
    for (method, target, status, code) in cases {
        let answer = world.ask(method, &target, &[]).await;
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(answer.error().code, code, "{method} {target}");
        assert!(answer.error().message.starts_with("acr-pull-proxy: "), "{method} {target}");
        assert!(!answer.headers.contains_key("www-authenticate"), "{method} {target}");
        assert!(!answer.header("x-request-id").is_empty(), "{method} {target}");
    }
    assert!(world.cloud.journal().entries().is_empty());
    assert_eq!(world.tokens.asked.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(world.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn an_oversized_header_is_431() {
    let world = World::new().await;
    let answer = world.ask("GET", &world.target("manifests/v1"), &[("x-large", &"x".repeat(20_000))]).await;
    assert_eq!(answer.status, 431);
    assert_eq!(answer.error().code, "UNSUPPORTED");
    // Beyond what is read at all there is no request to answer in JSON, but an answer all the same.
    let mut request = format!("GET {} HTTP/1.1\r\nhost: x\r\nx-large: ", world.target("manifests/v1")).into_bytes();
    request.resize(600_000, b'x');
    let answer = world.raw(&request).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    assert!(world.cloud.journal().entries().is_empty());
    assert_eq!(world.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn a_tls_hello_or_garbage_is_answered_400_in_plain_text() {
    let world = World::new().await;
    let hello = [b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03".as_slice(), &[7; 194]].concat();
    for bytes in [hello.as_slice(), b"\x00\xff\xfe garbage\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"] {
        let answer = world.raw(bytes).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{bytes:?}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(world.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn the_reason_phrase_carries_the_sentence() {
    let world = World::new().await;
    let request =
        b"HEAD /v2/team/app/manifests/v1?ns=other.example.com HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = String::from_utf8(world.raw(request).await.unwrap()).unwrap();
    let line = answer.lines().next().unwrap();
    assert_eq!(line, "HTTP/1.1 404 acr-pull-proxy: this registry is not served here");
    assert!(answer.ends_with("\r\n\r\n"), "a HEAD has no body: {answer}");
}

#[tokio::test]
async fn a_refused_upload_gets_its_answer_and_no_reset() {
    let world = World::new().await;
    let mut request =
        format!("PUT {} HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n", world.target("manifests/v1"));
    request.push_str(&"x".repeat(900_000));
    let answer = world.raw(request.as_bytes()).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 405 "), "{}", String::from_utf8_lossy(&answer));
}
