//! A real containerd sends the token that the installer wrote for it.

use std::process::Command;

use super::Guarded;
use crate::support::containerd::Containerd;
use crate::support::{DOMAIN, REPOSITORY, TAG, cri};

#[tokio::test(flavor = "multi_thread")]
async fn containerd_sends_the_token_and_goes_on_through_a_rotation() {
    let guarded = Guarded::start().await;
    let containerd = Containerd::start().await;
    let install = |more: &[&str]| {
        // Strictly, so that no pull can come from anywhere else.
        let mut command: Command = guarded.command(&["hosts", "install", "--strict"]);
        command.args(more).env("ACR_PULL_PROXY_STATE_DIR", guarded.path("record"));
        let output = command.env("ACR_PULL_PROXY_CERTS_DIR", containerd.certs_dir()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let name = format!("{DOMAIN}/{REPOSITORY}:{TAG}");
    for more in [&[][..], &["--rotate-token"]] {
        install(more);
        let pulled = cri::pull_image(&containerd.socket(), &name).await;
        assert!(pulled.is_ok(), "{more:?}: {pulled:?}\n{}", containerd.log());
        let removed = containerd.ctr(&["--namespace", "k8s.io", "images", "rm", "--sync", &name]).await;
        assert!(removed.status.success());
    }
    // Somebody took the token out: the person who reads the pod's events is told what to run.
    let file = containerd.certs_dir().join(DOMAIN).join("hosts.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("Authorization")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, without).unwrap();
    let told = cri::pull_image(&containerd.socket(), &name).await.unwrap_err();
    assert!(told.to_string().contains("run hosts install on the node"), "{told}");
}
