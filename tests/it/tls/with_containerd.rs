//! A real containerd pulls over TLS by the entry that the installer writes.

use super::Site;
use crate::support::containerd::Containerd;
use crate::support::{DOMAIN, REPOSITORY, TAG, cri};

#[tokio::test(flavor = "multi_thread")]
async fn containerd_verifies_the_daemon_by_the_certificate_in_its_entry() {
    let site = Site::start().await;
    let containerd = Containerd::start().await;
    // Strictly, so that the pull can come from nowhere else.
    let mut install = site.command(&["hosts", "install", "--strict"]);
    let output = install.env("ACR_PULL_PROXY_CERTS_DIR", containerd.certs_dir()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pulled = cri::pull_image(&containerd.socket(), &format!("{DOMAIN}/{REPOSITORY}:{TAG}")).await;
    assert!(pulled.is_ok(), "{pulled:?}\n{}", containerd.log());
}
