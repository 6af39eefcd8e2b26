//! The binary as another program runs it: a line on standard input, an answer on standard output, and nothing of it on
//! any disk.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The name that docker, podman and skopeo know the binary by.
pub(crate) const CREDENTIAL_HELPER: &str = "docker-credential-acr-pull-proxy";

/// Runs a program where a person would watch it: on a terminal, by Debian's `script`. Its exit code and all it wrote.
pub(crate) fn on_a_terminal(program: &Command) -> (Option<i32>, String) {
    let quoted = |word: &OsStr| format!("'{}'", word.to_str().expect("plain words").replace('\'', "'\\''"));
    let variables = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let variables = variables.map(|(name, value)| [name, OsStr::new("="), value].join(OsStr::new("")));
    let words = [OsStr::new("env"), OsStr::new("-i"), OsStr::new("TERM=xterm")].map(quoted).into_iter();
    let words = words.chain(variables.map(|variable| quoted(&variable)));
    let words = words.chain([quoted(program.get_program())]).chain(program.get_args().map(quoted));
    let line = words.collect::<Vec<_>>().join(" ");
    let shown = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output();
    let shown = shown.expect("script is there (Debian package bsdutils, which is essential)");
    (shown.status.code(), String::from_utf8(shown.stdout).expect("a terminal's text"))
}

/// A place for the binary's socket, configuration and names. Gone with the test.
#[derive(Debug)]
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("login").tempdir().expect("a directory");
        let binary = env!("CARGO_BIN_EXE_acr-pull-proxy");
        symlink(binary, dir.path().join(CREDENTIAL_HELPER)).expect("the binary under another name");
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where a daemon is asked for logins.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("login.sock")
    }

    /// What makes a daemon hand logins out here.
    pub(crate) fn arguments(&self) -> [String; 2] {
        ["--login-socket".to_owned(), self.socket().display().to_string()]
    }

    /// The configuration of whoever asks; without it there is none.
    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.config(), text).expect("config.yaml");
    }

    /// Where that is.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config.yaml")
    }

    /// Asks as the kubelet does.
    pub(crate) async fn credential_provider(&self, request: Value) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.arg("credential-provider");
        self.run(command, request.to_string()).await
    }

    /// Asks for the login of an image as the kubelet does.
    pub(crate) async fn login_of(&self, image: &str) -> Output {
        self.credential_provider(request(image)).await
    }

    /// The same by a user without any right.
    pub(crate) async fn login_for_nobody(&self, image: &str) -> Output {
        const NOBODY: u32 = 65534;
        // The build may lie where nobody may look.
        let copy = self.dir.path().join("copy");
        fs::copy(env!("CARGO_BIN_EXE_acr-pull-proxy"), &copy).expect("a copy of the binary");
        let mut command = Command::new(copy);
        command.arg("credential-provider").uid(NOBODY).gid(NOBODY);
        self.run(command, request(image).to_string()).await
    }

    /// Asks as docker does.
    pub(crate) async fn credential_helper(&self, action: &str, subject: &str) -> Output {
        let mut command = Command::new(self.dir.path().join(CREDENTIAL_HELPER));
        command.arg(action);
        self.run(command, subject.to_owned()).await
    }

    async fn run(&self, mut command: Command, input: String) -> Output {
        command.env_clear().envs(self.variables()).current_dir(self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = move || {
            let mut child = command.spawn().expect("the binary starts");
            let mut stdin = child.stdin.take().expect("a pipe");
            // Wrong usage is told before anything is read.
            stdin.write_all(input.as_bytes()).ok();
            drop(stdin);
            child.wait_with_output().expect("the binary ends")
        };
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    /// What makes the binary look here, and write here whatever it writes.
    pub(crate) fn variables(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("ACR_PULL_PROXY_LOGIN_SOCKET", self.socket()),
            ("ACR_PULL_PROXY_CONFIG", self.config()),
            ("HOME", self.path().to_owned()),
            ("TMPDIR", self.path().to_owned()),
        ]
    }

    /// Fails the test where one of `secrets` stands in a file that was written here.
    pub(crate) fn expect_nothing_written(&self, secrets: &[String]) {
        let mut directories = vec![self.path().to_owned()];
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").path());
            // A link is the binary under its other name.
            for entry in entries.filter(|entry| !entry.is_symlink() && *entry != self.config()) {
                if entry.is_dir() {
                    directories.push(entry);
                } else if let Ok(bytes) = fs::read(&entry) {
                    let text = String::from_utf8_lossy(&bytes);
                    assert!(!secrets.iter().any(|secret| text.contains(secret)), "a secret is in {}", entry.display());
                }
            }
        }
    }
}

fn request(image: &str) -> Value {
    serde_json::json!({
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderRequest", "image": image,
    })
}
