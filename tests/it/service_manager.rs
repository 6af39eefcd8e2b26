//! What a service manager is told over its notify socket (sd_notify(3)), and that a cloud that is away is no reason not
//! to start.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::client::Mirror;
use crate::support::{LIMIT, POLL, TAG, manifest};

/// An instance whose cloud refuses every connection: nobody listens on port 1.
const CLOUD_AWAY: &str = "\
instances:
  - instanceId: cri-abcd1234efgh5678
    regionId: cn-hangzhou
    domains: demo-registry.cn-hangzhou.cr.aliyuncs.com
    credentialSource: ramRole
endpoints:
  metadata: http://127.0.0.1:1
";

/// The watchdog of the tests; it is fed three times as often.
const WATCHDOG: Duration = Duration::from_millis(900);

/// A daemon under a service manager.
struct Service {
    manager: UnixDatagram,
    daemon: Child,
    admin: String,
    dir: TempDir,
}

impl Service {
    fn start() -> Self {
        Self::start_by(Command::new("env"), CLOUD_AWAY, &free_address())
    }

    /// By a program that runs what its last arguments are.
    fn start_by(mut command: Command, config: &str, admin: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(LIMIT)).unwrap();
        std::fs::write(dir.path().join("config.yaml"), config).unwrap();
        command.args(["env", &format!("NOTIFY_SOCKET={}", dir.path().join("notify").display())]);
        command.arg(format!("WATCHDOG_USEC={}", WATCHDOG.as_micros())).arg(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", admin, "--config"]);
        let daemon = command.arg(dir.path().join("config.yaml")).stderr(Stdio::null()).spawn().unwrap();
        Self { manager, daemon, admin: admin.to_owned(), dir }
    }

    /// The next message that is not from the watchdog, or the next that is.
    fn told(&self, by_watchdog: bool) -> String {
        let mut message = [0; 1024];
        loop {
            let length = self.manager.recv(&mut message).expect("the manager is told");
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.starts_with("WATCHDOG=1") == by_watchdog {
                return text;
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.daemon.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_daemon_whose_cloud_is_away_serves_and_tells_its_manager_every_state() {
    let mut service = Service::start();
    let ready = service.told(false);
    assert!(ready.starts_with("READY=1\n") && ready.contains("STATUS=serving pulls\n"), "{ready}");
    let operators = Mirror::at(service.admin.parse().unwrap());
    assert_eq!(operators.get("/livez").await.status, 200);
    assert_eq!(operators.get("/readyz").await.status, 503);
    for _ in 0..3 {
        service.told(true);
    }

    let file = service.dir.path().join("config.yaml");
    for (content, status) in
        [("nonsense: true\n", "the new configuration was refused"), (CLOUD_AWAY, "serving pulls\n")]
    {
        std::fs::write(&file, content).unwrap();
        service.signal("HUP");
        // The file is noticed without the signal too, perhaps before this content was in it.
        loop {
            let reloading = service.told(false);
            assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
            let ready = service.told(false);
            assert!(ready.starts_with("READY=1\n"), "{ready}");
            if ready.contains(status) {
                break;
            }
        }
    }

    service.signal("TERM");
    // The file was noticed as well, perhaps after the signal that announced it.
    let mut told = service.told(false);
    while !told.starts_with("STOPPING=1\n") {
        told = service.told(false);
    }
    assert!(service.daemon.wait().unwrap().success());
}

#[tokio::test]
async fn with_a_socket_of_its_manager_a_start_that_fails_tells_every_pull_why_and_succeeds_once_it_can() {
    let (listen, admin) = (free_address(), free_address());
    let taken = std::net::TcpListener::bind(&admin).unwrap();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--listen", &listen]).stdout(Stdio::null());
    let mut service = Service::start_by(command, &format!("{CLOUD_AWAY}nonsense: true\n"), &admin);
    // Each on a connection of its own: whoever answers changes.
    let pulls = async |path: &str| Mirror::at(listen.parse().unwrap()).get(path).await;
    let listens = async {
        while tokio::net::TcpStream::connect(&listen).await.is_err() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(LIMIT, listens).await.expect("the manager listens");

    // The manager need not wait; pulls are told, whatever they ask for, and the watchdog is fed.
    let ready = service.told(false);
    assert!(
        ready.starts_with("READY=1\nSTATUS=not serving; every pull gets 503: wrong configuration: nonsense"),
        "{ready}"
    );
    for path in ["/v2/", &manifest(TAG)] {
        let told = pulls(path).await;
        assert!(told.status == 503 && told.text().contains("node: wrong configuration: nonsense"), "{}", told.text());
    }
    for _ in 0..3 {
        service.told(true);
    }

    // The next obstacle is not in the file.
    std::fs::write(service.dir.path().join("config.yaml"), CLOUD_AWAY).unwrap();
    let ready = service.told(false);
    assert!(
        ready.starts_with(&format!("READY=1\nSTATUS=not serving; every pull gets 503: cannot listen on {admin}")),
        "{ready}"
    );
    let told = pulls("/v2/").await;
    assert!(told.status == 503 && told.text().contains("node: cannot listen on"), "{}", told.text());

    drop(taken);
    let ready = service.told(false);
    assert!(ready.starts_with("READY=1\nSTATUS=serving pulls\n"), "{ready}");
    assert_eq!(pulls("/v2/").await.status, 200);
    service.signal("TERM");
    assert!(service.daemon.wait().unwrap().success());
}
