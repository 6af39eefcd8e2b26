//! A real Prometheus with a directory of its own, on a port that the kernel chose.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use http_body_util::BodyExt;
use serde_json::Value;

use super::{LIMIT, POLL};
use crate::support::client::Mirror;

/// A Prometheus of Debian's with a configuration of ours.
pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `admin` every second, as scrape.yaml tells people to, and evaluates the shipped rules.
    pub(super) async fn start(admin: SocketAddr) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("daemonset/components/prometheus");
        let scrape = std::fs::read_to_string(component.join("scrape.yaml")).unwrap();
        assert!(scrape.contains("- job_name: acr-pull-proxy\n") && scrape.contains("  honor_labels: true\n"));
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{rules}]\nscrape_configs:\n\
             - job_name: acr-pull-proxy\n  honor_labels: true\n  static_configs:\n  - targets: ['{admin}']\n    \
             labels: {{node: this-node}}\n",
            rules = component.join("rules.yaml").display()
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is installed: tests/run does that, or names this test as left out");
        let address = until_some(|| async { listening(child.id()) }).await;
        Self { child, address, _directory: directory }
    }

    /// The value of a query with exactly one result, once there is one.
    pub(super) async fn value(&self, query: &str) -> f64 {
        until_some(|| async {
            let series = self.series(query).await;
            let [one] = series.as_slice() else { return None };
            one["value"][1].as_str()?.parse().ok()
        })
        .await
    }

    /// What a query finds now.
    pub(super) async fn series(&self, query: &str) -> Vec<Value> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.api(&format!("/api/v1/query?query={escaped}")).await.unwrap_or_default();
        assert_ne!(answer["status"], "error", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "Prometheus is trusted to end its answer")]
    pub(super) async fn api(&self, path: &str) -> Option<Value> {
        let answer = Mirror::at(self.address).open(http::Method::GET, path, &[]).await;
        let body = answer.into_body().collect().await.ok()?;
        serde_json::from_slice(&body.to_bytes()).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks until there is an answer.
async fn until_some<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, answer).await.expect("an answer in time")
}

/// The address a process listens on, from the kernel, since Prometheus does not tell which port it was given.
fn listening(process: u32) -> Option<SocketAddr> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let sockets: BTreeSet<String> = files
        .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{process}/net/tcp")).ok()?;
    let port = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Local address, state (0A: listening) and inode, as proc(5) has them.
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let port = local.rsplit_once(':')?.1;
        if *state == "0A" && sockets.contains(*inode) { u16::from_str_radix(port, 16).ok() } else { None }
    });
    Some(SocketAddr::from(([127, 0, 0, 1], port?)))
}
