//! The status page in a real browser (Debian's chromium), phone and desktop, light and dark.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use acr_pull_proxy::app::{App, Surroundings};
use acr_pull_proxy::containerd::Lookup;
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::setup::{CLUSTER_ROLE, INSTANCE, PULL_ROLE};
use cloudsim::{CloudSim, Method};
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::node::{self, get};
use crate::support::{DOMAIN, Node, REPOSITORY, TAG, blob, manifest};

/// How long a line of the log may take.
const LINE_LIMIT: Duration = Duration::from_secs(20);

/// How often the page is asked whether it says something; nothing tells us.
const POLL: Duration = Duration::from_millis(100);

/// How often the name of a bar's filling stands in the style itself.
const STYLE_MENTIONS: usize = 2;

/// Widths in CSS pixels: a small phone, a tablet, a desktop.
const WIDTHS: [u32; 3] = [360, 768, 1280];

/// Runs a headless browser with a profile of its own that talks to nobody but the address it is given.
fn chromium(arguments: &[&str]) -> Output {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .output()
        .expect("chromium is installed: tests/run does that, or names this test as left out");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// What a browser makes of a page; it must not have refused any part of it.
fn dom(url: &str, arguments: &[&str]) -> String {
    let output = chromium(&[arguments, &["--dump-dom", url]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("Content Security Policy"), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Pictures of a page at every width, where the environment names a directory for them.
#[expect(clippy::disallowed_methods, reason = "asked for by whoever wants to look at the page")]
fn pictures(url: &str, name: &str) {
    let Some(directory) = std::env::var_os("ACR_PULL_PROXY_TEST_PICTURES") else { return };
    for width in WIDTHS {
        for (scheme, number) in [("dark", 0), ("light", 1)] {
            let file = Path::new(&directory).join(format!("{name}-{width}-{scheme}.png"));
            let file = format!("--screenshot={}", file.display());
            let scheme = format!("--blink-settings=preferredColorScheme={number}");
            chromium(&[&file, &format!("--window-size={width},1800"), &scheme, url]);
        }
    }
}

/// The text that a browser shows of the page in a frame in which no script may run.
async fn text_without_scripts(admin: std::net::SocketAddr) -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("page.html"), get(admin, "/").await.1).unwrap();
    let show = "<iframe src=page.html sandbox=allow-same-origin width=1280 height=900 onload=\"document.title='shown'; \
                document.body.append(contentDocument.body.innerText)\"></iframe>";
    let file = directory.path().join("show.html");
    std::fs::write(&file, show).unwrap();
    let dom = dom(&format!("file://{}", file.display()), &["--allow-file-access-from-files"]);
    assert!(dom.contains("<title>shown</title>"), "{dom}");
    dom.split("</iframe>").nth(1).expect("text behind the frame").to_owned()
}

/// How far the page is wider than the window, by the browser's own measure, at a width.
///
/// The page forbids itself scripts and frames, so a copy of it is measured in frames of a page of ours.
async fn overflow(admin: std::net::SocketAddr, width: u32) -> i64 {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("page.html"), get(admin, "/").await.1).unwrap();
    let measure = format!(
        "<iframe src=page.html width={width} height=900 onload=\"document.title='wider by ' + \
         (contentDocument.documentElement.scrollWidth - {width})\"></iframe>"
    );
    let file = directory.path().join("measure.html");
    std::fs::write(&file, measure).unwrap();
    let arguments = ["--allow-file-access-from-files"];
    let dom = dom(&format!("file://{}", file.display()), &arguments);
    let title = dom.split("<title>wider by ").nth(1).and_then(|rest| rest.split('<').next());
    title.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("not measured: {dom}"))
}

/// A node that has pulled its image over connections that break after each megabyte.
async fn pulled() -> Node {
    let node = Node::with(Method::MultiHop, Image::random(3, 3 << 20, 1)).await;
    node.mirror.get(&manifest(TAG)).await.expect(200);
    node.cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(1 << 20)));
    for (digest, _) in &node.image.blobs {
        assert!(node.mirror.get(&blob(digest)).await.expect(200).complete);
    }
    node.cloud.faults().clear();
    // A second pull of the same, as of another pod.
    let (digest, _) = &node.image.manifests[0];
    for _ in 0..2 {
        node.mirror.get(&manifest(digest)).await.expect(200);
    }
    node.mirror.get(&manifest("v2")).await.expect(404);
    node.mirror.head(&manifest(TAG)).await.expect(200);
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_node_shows_its_chain_and_its_pulls() {
    let node = pulled().await;
    let url = format!("http://{}/", node.daemon.admin);
    let dom = dom(&url, &[]);
    for shown in [
        "Ready",
        INSTANCE,
        DOMAIN,
        CLUSTER_ROLE,
        PULL_ROLE,
        " left</time>",
        REPOSITORY,
        "resumed ",
        "from memory",
        "refused with 404",
        "✓</span> found",
        &node.image.digest,
    ] {
        assert!(dom.contains(shown), "{shown} is missing in {dom}");
    }
    let status: Value = serde_json::from_str(&get(node.daemon.admin, "/status").await.1).unwrap();
    let pulls = status["recentPulls"].as_array().unwrap();
    let of = |reference: &str| pulls.iter().find(|pull| pull["reference"] == reference).unwrap();
    assert_eq!(of(&node.image.manifests[0].0)["fromMemory"], true, "the newest of two");
    assert_eq!(of(TAG)["fromMemory"], false, "a tag is asked of the registry each time");
    let by_tag: Vec<_> = pulls.iter().filter(|pull| pull["reference"] == TAG).collect();
    assert!(by_tag.iter().any(|pull| pull["method"] == "HEAD" && pull["outcome"] == "complete"), "{by_tag:?}");
    assert!(by_tag.iter().all(|pull| pull["digest"] == node.image.digest), "{by_tag:?}");
    let layer = pulls.iter().find(|pull| pull["resumes"].as_u64() > Some(0)).expect("a layer that was resumed");
    assert!(layer["fromMemory"] == false && layer["outcome"] == "complete", "{layer}");
    assert_eq!(dom.matches("life-left").count() - STYLE_MENTIONS, 4, "one bar for each step: {dom}");
    assert!(!dom.contains("<script") && !dom.contains("<noscript") && !dom.contains("javascript:"), "{dom}");
    let text = text_without_scripts(node.daemon.admin).await;
    for shown in ["Ready", INSTANCE, PULL_ROLE, "Registry login", " left, renewed ", "Pulls of the last minutes"] {
        assert!(text.contains(shown), "without scripts, {shown} is missing in {text}");
    }
    for width in WIDTHS {
        assert_eq!(overflow(node.daemon.admin, width).await, 0, "the page is wider than a window of {width}");
    }
    pictures(&url, "healthy");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sick_node_says_where_it_fails_why_and_what_to_do() {
    let cloud = CloudSim::start().await.unwrap();
    let no =
        r#"{"Code":"NoPermission","Message":"You are not authorized to do this action.","RequestId":"5B8A1D7C-0001"}"#;
    cloud.fault(Fault::on(Service::Sts, Effect::answer(http::StatusCode::FORBIDDEN, no)).action("AssumeRole"));
    let mut node = Node::around(cloud, Method::MultiHop, Image::random(1, 1024, 1)).await;
    node.mirror.get(&manifest(TAG)).await.expect(403);
    let file = node.daemon.config_file();
    let bad = std::fs::read_to_string(&file).unwrap() + "blobs:\n  conections: 2\n";
    std::fs::write(&file, bad).unwrap();
    node.daemon.signal("HUP");
    node.daemon.wait_for_line(LINE_LIMIT, |line| line["msg"] == "the new configuration is refused").await;

    let url = format!("http://{}/", node.daemon.admin);
    let dom = dom(&url, &[]);
    for shown in [
        "Not ready: 0 of 1 instances have a login",
        "Pulls fail",
        "NoPermission",
        "5B8A1D7C-0001",
        "What to do:",
        "✗ The last attempt failed here.",
        "Waits for the step above.",
        "A newer configuration was refused",
        "did you mean &#39;connections&#39;?",
        "refused with 403",
    ] {
        let as_dom = shown.replace("&#39;", "'");
        assert!(dom.contains(&as_dom), "{shown} is missing in {dom}");
    }
    for width in WIDTHS {
        assert_eq!(overflow(node.daemon.admin, width).await, 0, "the page is wider than a window of {width}");
    }
    pictures(&url, "sick");
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_tells_whether_containerd_asks_this_daemon() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::WorkerRole);
    let certs = tempfile::tempdir().unwrap();
    let containerd = Some(Lookup { certs_dir: Some(certs.path().to_path_buf()), ..Lookup::default() });
    let surroundings = Surroundings { containerd, ..Surroundings::default() };
    let app = App::start(node::Node::parse(&config), surroundings).await.unwrap();
    let page_says = async |words: &str| {
        let said = async {
            while !get(app.admin_addr(), "/").await.1.contains(words) {
                tokio::time::sleep(POLL).await;
            }
        };
        let said = tokio::time::timeout(LINE_LIMIT, said).await;
        assert!(said.is_ok(), "'{words}' is not on the page");
    };
    page_says("has no hosts.toml").await;

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let mut install = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
    install.env_clear().args(["hosts", "install", "--listen", &app.listen_addr().to_string(), "--certs-dir"]);
    let output = install.arg(certs.path()).arg("--config").arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page_says("asks this daemon").await;
    assert!(!get(app.admin_addr(), "/").await.1.contains("has no hosts.toml"));
    app.shutdown().await;
}

/// As in a pod of the DaemonSet, with the directory of the node mounted and without.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_the_daemon_is_told_where_to_look_or_says_that_it_does_not_know() {
    let cloud = CloudSim::start().await.unwrap();
    let config = cloud.node_config(Method::WorkerRole);
    let certs = tempfile::tempdir().unwrap();
    for (flag, place, words) in [
        ("--certs-dir", certs.path().to_str().unwrap(), "has no hosts.toml"),
        ("--containerd-config", "/nowhere/config.toml", "Whether it asks this daemon is not known"),
    ] {
        let daemon = Daemon::with(&config, &[flag, place]).await;
        let said = async {
            loop {
                let page = get(daemon.admin, "/").await.1;
                if page.contains(words) {
                    return page;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let page = tokio::time::timeout(LINE_LIMIT, said).await.unwrap_or_else(|_| panic!("'{words}' is not said"));
        let status: Value = serde_json::from_str(&get(daemon.admin, "/status").await.1).unwrap();
        let seen = flag == "--certs-dir";
        assert_eq!(status["containerd"]["unseen"].is_null(), seen, "{status:#}");
        assert_eq!(status["containerd"]["domains"][0]["good"] == false, seen, "{status:#}");
        assert_eq!(page.contains("name containerd&#39;s configuration with --containerd-config"), !seen, "{page}");
        daemon.stop();
    }
}
