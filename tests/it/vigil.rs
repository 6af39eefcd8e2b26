//! The daemon's visits to itself, by which it is seen whether it still answers.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use cloudsim::{CloudSim, Method};
use http::StatusCode;

use crate::support::LIMIT;
use crate::support::client::Mirror;
use crate::support::daemon::{Daemon, PROGRAM};

/// systemd's watchdog, which makes the visits frequent.
const WATCHDOG: Duration = Duration::from_millis(900);

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_daemon_admits_its_own_visits_and_no_stranger() {
    let cloud = CloudSim::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (token, notify) = (dir.path().join("client-token"), dir.path().join("notify"));
    fs::write(&token, "a-client-token-that-nobody-guesses").unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let config = format!("{}clientAuth:\n  tokenFile: {}\n", cloud.node_config(Method::Rrsa), token.display());
    let mut program = Command::new("env");
    program.arg(format!("NOTIFY_SOCKET={}", notify.display()));
    program.arg(format!("WATCHDOG_USEC={}", WATCHDOG.as_micros())).arg(PROGRAM);
    // At this level nothing is summed up.
    let daemon = Daemon::through(&format!("{config}log: {{level: debug}}\n"), program).await;

    // The watchdog is fed when a visit was answered.
    let mut visits = 0;
    while visits < 3 {
        let mut message = [0; 1024];
        let length = manager.recv(&mut message).expect("the watchdog is fed");
        visits += usize::from(message[..length].starts_with(b"WATCHDOG=1"));
    }
    let stranger = Mirror::at(daemon.listen).get("/").await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN);
    let log = daemon.stop();
    let complaints = log.matches("\"msg\":\"a caller is not admitted\"").count();
    assert_eq!(complaints, 1, "of the stranger, who asked what a visit asks:\n{log}");
}
