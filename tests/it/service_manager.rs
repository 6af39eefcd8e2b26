//! What a service manager is told over its notify socket (sd_notify(3)), and that a cloud that is away is no reason not
//! to start.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::LIMIT;
use crate::support::client::Mirror;

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
        let dir = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(LIMIT)).unwrap();
        let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        std::fs::write(dir.path().join("config.yaml"), CLOUD_AWAY).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        command.env_clear().env("NOTIFY_SOCKET", dir.path().join("notify"));
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", &admin, "--config"]);
        let daemon = command.arg(dir.path().join("config.yaml")).stderr(Stdio::null()).spawn().unwrap();
        Self { manager, daemon, admin, dir }
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
