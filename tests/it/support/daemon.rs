//! The daemon as a process of its own, run as people run it: `acr-pull-proxy serve --config …`.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// The daemon itself.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_acr-pull-proxy");

/// How long a daemon may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running daemon; ended with the test.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    /// Where pulls go.
    pub(crate) listen: SocketAddr,
    /// Where operators look.
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<String>>,
    lines: watch::Receiver<usize>,
    reader: Option<JoinHandle<()>>,
    dir: TempDir,
}

impl Daemon {
    /// Starts the daemon with this configuration and waits until it listens.
    pub(crate) async fn start(config: &str) -> Self {
        Self::with(config, &["--log-level", "trace"]).await
    }

    /// The same, with the log level of the configuration.
    pub(crate) async fn as_configured(config: &str) -> Self {
        Self::with(config, &[]).await
    }

    /// The same as [`start`](Self::start), for callers who know the token in `client-token` beside the configuration.
    pub(crate) async fn guarded(config: &str) -> Self {
        let dir = directory();
        let token = dir.path().join("client-token");
        std::fs::write(&token, "a-client-token-that-nobody-guesses").expect("the token");
        std::fs::set_permissions(&token, Permissions::from_mode(0o600)).expect("for its owner only");
        let config = format!("{config}clientAuth:\n  tokenFile: {}\n", token.display());
        Self::run(&config, dir, Command::new(PROGRAM), &["--log-level", "trace"]).await
    }

    /// The same as [`as_configured`](Self::as_configured), by a program that ends up as the daemon.
    pub(crate) async fn through(config: &str, program: Command) -> Self {
        Self::run(config, directory(), program, &[]).await
    }

    /// The same with these arguments.
    pub(crate) async fn with(config: &str, arguments: &[&str]) -> Self {
        Self::run(config, directory(), Command::new(PROGRAM), arguments).await
    }

    async fn run(config: &str, dir: TempDir, mut program: Command, arguments: &[&str]) -> Self {
        let file = dir.path().join("config.yaml");
        std::fs::write(&file, config).expect("config.yaml");
        let work = dir.path().join("work");
        std::fs::create_dir(&work).expect("a directory to work in");
        let stdout = File::create(work.join("stdout")).expect("a file for what it prints");
        let mut child = program
            .args(["serve", "--log-format", "json", "--config"])
            .arg(&file)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .env("TMPDIR", &work)
            .current_dir(&work)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let stderr = child.stderr.take().expect("a pipe");
        let log = Arc::new(Mutex::new(String::new()));
        let (count, lines) = watch::channel(0);
        let written = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut text = written.lock().expect("no reader panics");
                text.push_str(&line);
                text.push('\n');
                drop(text);
                count.send_modify(|count| *count += 1);
            }
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut daemon = Self { child, listen: unknown, admin: unknown, log, lines, reader: Some(reader), dir };
        let started = daemon.wait_for_line(START_LIMIT, |line| line["msg"] == "serving").await;
        let address = |name: &str| started[name].as_str().and_then(|text| text.parse().ok()).expect(name);
        daemon.listen = address("listen");
        daemon.admin = address("admin");
        daemon
    }

    /// Waits for a line of the log.
    pub(crate) async fn wait_for_line(&mut self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                self.lines.borrow_and_update();
                let found = self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).find(&wanted);
                if let Some(line) = found {
                    return Some(line);
                }
                // The reader is gone when the daemon has closed its end.
                if self.lines.changed().await.is_err() {
                    return None;
                }
            }
        };
        let found = tokio::time::timeout(limit, found).await.ok().flatten();
        found.unwrap_or_else(|| panic!("the line did not come; the log:\n{}", self.log()))
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no writer panics").clone()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file it was started with.
    pub(crate) fn config_file(&self) -> std::path::PathBuf {
        self.dir.path().join("config.yaml")
    }

    /// Everything it has printed to standard output or left in the directories it can be expected to write to.
    pub(crate) fn left_behind(&self) -> String {
        let files = std::fs::read_dir(self.dir.path().join("work")).expect("its directory");
        let read = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry.expect("an entry").path();
            let bytes = std::fs::read(&path).expect("a file, since it makes no directories");
            format!("{}\n{}\n", path.display(), String::from_utf8_lossy(&bytes))
        };
        files.map(read).collect()
    }

    /// Sends a signal by name (`TERM`, `HUP`).
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().expect("kill");
        assert!(sent.success(), "the daemon is alive");
    }

    /// Ends it as systemd would, and gives its log. It must end with success.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "the daemon ended with {status}:\n{}", self.log());
        self.log()
    }

    fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("the daemon can be waited for");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log was read");
        }
        status
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory for the daemon")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already waited for where the test came to its end.
        if self.reader.is_some() {
            self.child.kill().ok();
            self.wait();
        }
    }
}
