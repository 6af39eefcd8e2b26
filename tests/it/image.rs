//! The image of the Dockerfile: small, the same twice, and able to serve a pull on a node by itself.
//!
//! The binary is built by `tests/image/build`, which `tests/run` calls; where it is missing, these tests fail.

mod assemble;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cloudsim::image::Image;
use cloudsim::ram::setup;
use cloudsim::{CloudSim, Method};
use tokio::time::{sleep, timeout};

use crate::support::client::Mirror;
use crate::support::containerd::Containerd;
use crate::support::dns::NameServer;
use crate::support::{DOMAIN, LIMIT, POLL, REPOSITORY, TAG, cri};
use assemble::assemble;

const NAME: &str = "example.com/acr-pull-proxy:test";

/// Most bytes that a node fetches for the image.
const LARGEST: usize = 20 * 1024 * 1024;

/// A name that only DNS knows, and one that only /etc/hosts knows.
const NAMES: [&str; 2] = ["cloud.by-dns.test", "cloud.by-hosts.test"];

fn sha256(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    hash.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// An archive that a container engine has built, where `tests/image/from-dockerfile` runs the test.
#[expect(clippy::disallowed_methods, reason = "told by a script")]
fn built_elsewhere() -> Option<PathBuf> {
    std::env::var_os("ACR_PULL_PROXY_TEST_IMAGE").map(PathBuf::from)
}

/// Where this machine has what the first stage makes.
fn source_of(path: &str) -> PathBuf {
    match path {
        "/out/acr-pull-proxy" => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image/acr-pull-proxy"),
        other => PathBuf::from(other),
    }
}

#[test]
fn the_image_is_small_and_the_same_twice() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["1", "2"].map(|name| assemble(NAME, &dir.path().join(name)));
    assert_eq!(first.digest, second.digest);
    println!("{} bytes, {}", first.size, first.digest);
    assert!(first.size <= LARGEST, "{} bytes", first.size);
    let told = Command::new(source_of("/out/acr-pull-proxy")).arg("--version").output().expect("the binary runs");
    assert!(String::from_utf8_lossy(&told.stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_image_says_what_the_package_says() {
    let dockerfile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile")).unwrap();
    let version = format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let toolchain = format!("rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&version) && dockerfile.contains(&toolchain), "{version} {toolchain}");
}

#[test]
fn the_architecture_that_is_asked_for_is_the_one_that_is_built() {
    let dockerfile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile")).unwrap();
    let arguments: Vec<_> = dockerfile.lines().filter_map(|line| line.trim().strip_prefix("ARG ")).collect();
    assert!(arguments.contains(&"TARGETARCH"), "{arguments:?}");
    // In a stage a value here would stand over the builder's (docker/buildx#510), and every image be for one architecture.
    let automatic = |argument: &&&str| argument.starts_with("TARGET") || argument.starts_with("BUILD");
    assert!(arguments.iter().filter(automatic).all(|argument| !argument.contains('=')), "{arguments:?}");
    assert!(dockerfile.contains("readelf --file-header /out/acr-pull-proxy"), "the binary is held against it");
    assert!(dockerfile.contains("*) echo \"no image is built for"), "another architecture is refused");
}

/// Check 19 (`tests/it/peers.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn a_node_pulls_through_the_daemon_in_its_image() {
    let cloud = CloudSim::start().await.expect("a cloud");
    let image = Image::random(2, 256 * 1024, 9);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    let names = NameServer::start(NAMES[0]);
    let containerd = Containerd::start().await;
    let container = Container::start(&containerd, &cloud, &names).await;
    containerd.send_pulls_to(DOMAIN, &format!("http://{}", container.listen));
    let pulled = cri::pull_image(&containerd.socket(), &format!("{DOMAIN}/{REPOSITORY}:{TAG}")).await;
    assert!(pulled.is_ok(), "{pulled:?}\n{}", container.log());
}

/// The daemon as a container, on the network of this machine.
struct Container {
    client: Child,
    listen: String,
    dir: tempfile::TempDir,
}

impl Container {
    async fn start(containerd: &Containerd, cloud: &CloudSim, names: &NameServer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let archive = built_elsewhere().unwrap_or_else(|| {
            let archive = dir.path().join("image.tar");
            assemble(NAME, &archive);
            archive
        });
        let imported = containerd.ctr(&["images", "import", archive.to_str().unwrap()]).await;
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));

        let [listen, admin] = [free_address(), free_address()];
        furnish(dir.path(), cloud, names, &cloud.node_config_at(Method::Rrsa, &listen, &admin));
        // Not `--net-host`, which would bring this machine's own resolv.conf and hosts along.
        let network = format!("network:/proc/{}/ns/net", std::process::id());
        let mut arguments: Vec<_> = ["run", "--rm", "--read-only", "--with-ns", &network].map(str::to_owned).into();
        for (file, place) in FILES {
            let source = dir.path().join(file);
            arguments.push(format!("--mount=type=bind,src={},dst={place},options=rbind:ro", source.display()));
        }
        arguments.extend([NAME.to_owned(), "proxy".to_owned()]);
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new("ctr");
        command.arg("--address").arg(containerd.socket()).args(&arguments).stdin(Stdio::null());
        let client = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("ctr");
        let container = Self { client, listen, dir };
        container.wait_until_ready(&admin).await;
        container
    }

    async fn wait_until_ready(&self, admin: &str) {
        let ready = async {
            let admin = admin.parse().unwrap();
            while tokio::net::TcpStream::connect(admin).await.is_err()
                || Mirror::at(admin).get("/readyz").await.status != 200
            {
                sleep(POLL).await;
            }
        };
        if timeout(LIMIT, ready).await.is_err() {
            let why = Mirror::at(admin.parse().unwrap()).get("/readyz").await.text();
            panic!("not ready: {why}\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The client hands the signal on, and takes the container away when it has ended.
        Command::new("kill").arg(self.client.id().to_string()).status().ok();
        self.client.wait().ok();
    }
}

/// What the container is given: a file, and where it finds it. All of it is read-only.
const FILES: [(&str, &str); 5] = [
    ("config.yaml", "/etc/acr-pull-proxy/config.yaml"),
    ("ca.pem", "/etc/acr-pull-proxy/ca.pem"),
    ("token", "/etc/acr-pull-proxy/token"),
    ("resolv.conf", "/etc/resolv.conf"),
    ("hosts", "/etc/hosts"),
];

/// Writes them. The cloud is found by name, half of it by DNS and half by /etc/hosts, since a static binary has to be
/// shown to resolve both.
fn furnish(dir: &Path, cloud: &CloudSim, names: &NameServer, config: &str) {
    let mut config = config.to_owned();
    for (file, path) in [("ca.pem", cloud.ca_file()), ("token", cloud.oidc_token_file())] {
        fs::copy(&path, dir.join(file)).unwrap();
        config = config.replace(&path.display().to_string(), &format!("/etc/acr-pull-proxy/{file}"));
    }
    let tls = cloud.tls_addr();
    for (number, (name, _)) in cloud.hosts().into_iter().enumerate() {
        let by_address = format!("\"{name}\": {tls}");
        let by_name = format!("\"{name}\": {}:{}", NAMES[number % NAMES.len()], tls.port());
        assert!(config.contains(&by_address), "{config}");
        config = config.replace(&by_address, &by_name);
    }
    fs::write(dir.join("config.yaml"), config).unwrap();
    fs::write(dir.join("resolv.conf"), format!("nameserver {}\n", names.address)).unwrap();
    fs::write(dir.join("hosts"), format!("127.0.0.1 localhost {}\n", NAMES[1])).unwrap();
    let readable = Command::new("chmod").args(["-R", "a+rX"]).arg(dir).status();
    assert!(readable.unwrap().success());
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}
