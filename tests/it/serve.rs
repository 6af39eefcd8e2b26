//! The real binary as a service: what its log says, how it goes over to a new configuration, how it ends.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use cloudsim::{CloudSim, Method};
use http::StatusCode;
use serde_json::Value;

use crate::support::node::get;

/// How long a test waits for a line of the log.
const LINE_LIMIT: Duration = Duration::from_secs(20);

/// A running `serve`; killed when a test fails.
struct Serve {
    child: Child,
    lines: tokio::sync::mpsc::UnboundedReceiver<Value>,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Serve {
    async fn start(config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.env_clear().args(["serve", "--log-format", "json", "--config"]).arg(config).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = follow(child.stderr.take().unwrap());
        let nowhere = SocketAddr::from(([0; 4], 0));
        let mut serve = Self { child, lines, listen: nowhere, admin: nowhere };
        let line = serve.line("serving").await;
        let address = |key: &str| line[key].as_str().unwrap().parse().unwrap();
        (serve.listen, serve.admin) = (address("listen"), address("admin"));
        serve
    }

    /// The next line of the log with this message.
    async fn line(&mut self, message: &str) -> Value {
        let wanted = async {
            loop {
                let line = self.lines.recv().await.expect("the daemon still runs");
                if line["msg"] == message {
                    return line;
                }
            }
        };
        tokio::time::timeout(LINE_LIMIT, wanted).await.unwrap_or_else(|_| panic!("no line '{message}'"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Every line is a JSON object with time, level and message, or the test fails.
fn follow(stderr: ChildStderr) -> tokio::sync::mpsc::UnboundedReceiver<Value> {
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(value["time"].is_string() && value["level"].is_string() && value["msg"].is_string(), "{line}");
            if sender.send(value).is_err() {
                return;
            }
        }
    });
    lines
}

#[tokio::test]
async fn sigterm_ends_in_good_order_with_exit_code_0() {
    let cloud = CloudSim::start().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), cloud.node_config(Method::WorkerRole)).unwrap();
    let mut serve = Serve::start(file.path()).await;
    assert_eq!(get(serve.listen, "/v2/").await.0, StatusCode::OK);
    serve.signal("TERM");
    serve.line("ended").await;
    assert_eq!(serve.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_bad_new_configuration_keeps_the_old_one_and_says_why() {
    let cloud = CloudSim::start().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let good = cloud.node_config(Method::WorkerRole);
    std::fs::write(file.path(), &good).unwrap();
    let mut serve = Serve::start(file.path()).await;
    let domain = cloudsim::ram::setup::CUSTOM_DOMAIN;

    std::fs::write(file.path(), format!("{good}blobs:\n  conections: 2\n")).unwrap();
    serve.signal("HUP");
    let line = serve.line("the new configuration is refused").await;
    assert!(line["problem"].as_str().unwrap().contains("did you mean 'connections'?"), "{line}");
    let (_, metrics) = get(serve.admin, "/metrics").await;
    assert!(metrics.contains("\nacr_pull_proxy_config_reload_success 0\n"));
    let (_, status) = get(serve.admin, "/status").await;
    assert!(status.contains("blobs.conections") && status.contains(domain), "{status}");

    // No signal this time: the change of the file is enough.
    std::fs::write(file.path(), good.replace(domain, "other.example.com")).unwrap();
    serve.line("the new configuration is in use").await;
    let (_, metrics) = get(serve.admin, "/metrics").await;
    assert!(metrics.contains("\nacr_pull_proxy_config_reload_success 1\n"));
    let (_, status) = get(serve.admin, "/status").await;
    assert!(!status.contains("blobs.conections") && status.contains("other.example.com"), "{status}");
}

#[tokio::test]
async fn an_address_in_use_is_exit_code_1_and_one_sentence() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config/minimal.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    command.env_clear().args(["serve", "--admin", "127.0.0.1:0", "--listen", &address, "--config"]).arg(sample);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("cannot listen on {address}")) && told.contains("choose a free address"), "{told}");
}
