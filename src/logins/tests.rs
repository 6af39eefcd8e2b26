use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{Answer, Listener, Login, ProvideLogin, Wanted, ask, serve};
use crate::oci::{RegistryHost, RepositoryName};
use crate::secret::Secret;

/// Answers with what it was asked, so that the tests see both ways of the wire.
#[derive(Debug)]
struct Echo(Answer);

impl ProvideLogin for Echo {
    async fn login(&self, wanted: &Wanted) -> Answer {
        match &self.0 {
            Answer::Login(login) => {
                let repository = wanted.repository.as_ref().map_or("all", RepositoryName::as_str);
                Answer::Login(Login { user: format!("{}/{repository}", wanted.host), ..login.clone() })
            }
            other => other.clone(),
        }
    }
}

fn login() -> Answer {
    Answer::Login(Login {
        user: String::new(),
        password: Secret::new("a:password \"with\" signs\n"),
        left: Duration::from_secs(3000),
        whole_registry: true,
    })
}

fn wanted(repository: Option<&str>) -> Wanted {
    Wanted {
        host: RegistryHost::parse("images.example.com:5000").unwrap(),
        repository: repository.map(|name| RepositoryName::parse(name).unwrap()),
    }
}

fn place() -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("login.sock");
    (dir, path)
}

fn start(path: &Path, answer: Answer) -> tokio::task::JoinHandle<()> {
    tokio::spawn(serve(Arc::new(Echo(answer)), Listener::bind(path).unwrap()))
}

#[tokio::test]
async fn every_answer_arrives_as_it_was_given() {
    let (_dir, path) = place();
    let failed = Answer::Failed { what: "AssumeRole: NoPermission".into(), next: "attach the policy".into() };
    for answer in [Answer::NotServed, Answer::NotKnown, failed] {
        let server = start(&path, answer.clone());
        assert_eq!(ask(&path, &wanted(None)).await.unwrap(), answer);
        server.abort();
    }
    let _server = start(&path, login());
    for (repository, user) in
        [(Some("team/app"), "images.example.com:5000/team/app"), (None, "images.example.com:5000/all")]
    {
        let Answer::Login(found) = ask(&path, &wanted(repository)).await.unwrap() else { panic!("no login") };
        assert_eq!(found.user, user);
        assert_eq!(Answer::Login(Login { user: String::new(), ..found }), login());
    }
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone_and_passes_to_a_successor_without_a_gap() {
    let (_dir, path) = place();
    let first = start(&path, Answer::NotServed);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let _second = start(&path, Answer::NotKnown);
    assert_eq!(ask(&path, &wanted(None)).await.unwrap(), Answer::NotKnown);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(ask(&path, &wanted(None)).await.unwrap(), Answer::NotKnown, "the end of the first takes nothing away");
}

#[tokio::test]
async fn nobody_there_a_stale_socket_and_a_foreign_file_are_told_at_once() {
    let (_dir, path) = place();
    assert_eq!(ask(&path, &wanted(None)).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    drop(Listener::bind(&path).unwrap());
    assert_eq!(ask(&path, &wanted(None)).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "somebody's file").unwrap();
    assert_eq!(Listener::bind(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's file");
}

#[tokio::test]
async fn what_is_no_question_gets_no_answer() {
    let (_dir, path) = place();
    let _server = start(&path, login());
    let long = "x".repeat(100_000);
    for line in ["", "\n", "{}\n", "{\"host\":\"../..\"}\n", "GET / HTTP/1.1\r\n", "{\"host\":\"a.b\"}", &long] {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(line.as_bytes()).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        assert!(answer.is_empty(), "{line:?} is answered with {} bytes", answer.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_does_not_answer_is_given_up() {
    let (_dir, path) = place();
    let _listener = Listener::bind(&path).unwrap();
    assert_eq!(ask(&path, &wanted(None)).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
