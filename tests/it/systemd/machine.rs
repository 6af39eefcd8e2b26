//! A machine with a systemd of its own: `systemd-nspawn --boot` on a root directory that borrows the programs of this
//! one, read-only, and shares its network. Gone with the test.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::support::{LIMIT, POLL};

/// What the machine starts: nothing but our units and what systemd needs itself.
const TARGET: &str = "[Unit]\nDescription=The node\nRequires=basic.target\nAfter=basic.target\n";

/// Directories of programs that the machine borrows.
const BORROWED: [&str; 5] = ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/share"];

/// A booted machine.
#[derive(Debug)]
pub(super) struct Machine {
    root: TempDir,
    nspawn: Child,
    /// The machine's first process, as this machine counts.
    init: String,
}

impl Machine {
    /// Boots a machine with the daemon, its units and this configuration.
    ///
    /// Fails the test where systemd-nspawn is missing or cannot boot: whoever runs the tests there leaves it out by name.
    pub(super) async fn boot(files: &[(&str, &[u8])]) -> Self {
        let root = tempfile::Builder::new().prefix("node").tempdir().expect("a root directory");
        furnish(root.path());
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a file in a directory")).expect("directory");
            fs::write(path, content).expect("file");
        }
        let log = fs::File::create(root.path().join("console")).expect("console");
        let mut command = Command::new("systemd-nspawn");
        command.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--directory"]);
        command.arg(root.path());
        for directory in BORROWED.iter().filter(|directory| Path::new("/").join(directory).is_dir()) {
            command.arg(format!("--bind-ro=/{directory}"));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("console")).stderr(log).process_group(0);
        let nspawn = command.spawn().expect("systemd-nspawn starts (Debian package systemd-container, as root)");
        let mut machine = Self { root, nspawn, init: String::new() };
        machine.wait_until_booted().await;
        machine
    }

    async fn wait_until_booted(&mut self) {
        let children = format!("/proc/{0}/task/{0}/children", self.nspawn.id());
        let booted = async {
            loop {
                let child = fs::read_to_string(&children).unwrap_or_default();
                if let Some(init) = child.split_whitespace().next() {
                    init.clone_into(&mut self.init);
                    if self.try_run("systemctl", &["is-active", "basic.target"]).is_ok() {
                        return;
                    }
                }
                sleep(POLL).await;
            }
        };
        if timeout(LIMIT, booted).await.is_err() {
            panic!("the machine does not boot:\n{}", self.console());
        }
    }

    /// A file of the machine, as this machine sees it.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Runs a program in the machine, which must succeed, and gives what it printed.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.try_run(program, arguments).unwrap_or_else(|told| {
            let journal = self.try_run("journalctl", &["--no-pager", "--lines=80"]).unwrap_or_else(|told| told);
            panic!("{program} {arguments:?}: {told}\n{journal}\n{}", self.console())
        })
    }

    /// Runs a program in the machine; what it printed, in both cases.
    pub(super) fn try_run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("nsenter");
        command.args([
            "--target", &self.init, "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--root", "--wd", program,
        ]);
        let output = command.args(arguments).env("SYSTEMD_PAGER", "").output().expect("nsenter");
        let told = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let failed = || format!("{told}{}", String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(told) } else { Err(failed()) }
    }

    /// A property of the service.
    pub(super) fn property(&self, name: &str) -> String {
        self.run("systemctl", &["show", "--value", "--property", name, super::SERVICE])
    }

    /// Waits until a property of the service is as wanted.
    pub(super) async fn wait_for(&self, name: &str, wanted: impl Fn(&str) -> bool) {
        let reached = async {
            while !wanted(&self.property(name)) {
                sleep(POLL).await;
            }
        };
        if timeout(LIMIT, reached).await.is_err() {
            panic!("{name} stays {}\n{}", self.property(name), self.run("journalctl", &["--no-pager", "--lines=80"]));
        }
    }

    fn console(&self) -> String {
        fs::read_to_string(self.path("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its first process takes everything else with it.
        Command::new("kill").args(["-s", "KILL", &self.init]).status().ok();
        self.nspawn.wait().ok();
    }
}

/// What a root directory needs beside programs.
fn furnish(root: &Path) {
    let directories =
        ["usr/local/bin", "etc/systemd/system", "etc/ssl", "proc", "sys", "dev", "run", "tmp", "var/log", "root"];
    for directory in BORROWED.iter().chain(&directories) {
        fs::create_dir_all(root.join(directory)).expect("directory");
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), root.join(link)).expect("link");
    }
    let files = [
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("etc/os-release", "ID=node\n"),
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("etc/systemd/system/node.target", TARGET),
    ];
    for (path, content) in files {
        fs::write(root.join(path), content).expect("file");
    }
    // `systemd-tmpfiles` refuses to work below a root that others own.
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("root directory");
    symlink("node.target", root.join("etc/systemd/system/default.target")).expect("link");
    let daemon = root.join("usr/local/bin/acr-pull-proxy");
    fs::copy(env!("CARGO_BIN_EXE_acr-pull-proxy"), daemon).expect("the daemon");
}
