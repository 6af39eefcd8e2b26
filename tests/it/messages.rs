//! What a person reads in the event of a pod: the eight most likely mistakes, each through a real containerd, and the
//! documentation of all of them.

use acr_pull_proxy::error::diagnosis::{Names, markdown, rows};
use cloudsim::fault::{Effect, Fault};
use cloudsim::image::Image;
use cloudsim::journal::Service;
use cloudsim::ram::{Role, setup};
use cloudsim::{CloudSim, Method};

use crate::support::{DOMAIN, Node, REPOSITORY, TAG, manifest};

/// Longest reason phrase.
const LONGEST: usize = 100;

/// A mistake, made before the daemon starts.
struct Mistake {
    what: &'static str,
    make: fn(&CloudSim),
    /// Changes the configuration.
    configure: fn(String) -> String,
    repository: &'static str,
    /// What is read: who must act, and what it is about.
    parts: &'static [&'static str],
}

impl Mistake {
    const NONE: Self = Self { what: "", make: |_| {}, configure: |config| config, repository: REPOSITORY, parts: &[] };
}

fn mistakes() -> [Mistake; 8] {
    let none = || Mistake::NONE;
    [
        Mistake {
            what: "the role lacks the right to pull",
            make: |cloud| cloud.directory().remove_permission(setup::PULL_ROLE, "cr:PullRepository"),
            parts: &["403", "account B: the role lacks cr:PullRepository, or there is no team/app"],
            ..none()
        },
        Mistake {
            what: "A's role may not assume B's",
            make: |cloud| cloud.directory().remove_permission(setup::CLUSTER_ROLE, "sts:AssumeRole"),
            parts: &["403", "account A or B: AssumeRole: NoPermission", "A must allow it, and B's role must trust A"],
            ..none()
        },
        Mistake {
            what: "B's role does not trust A's",
            make: |cloud| cloud.directory().edit_role(setup::PULL_ROLE, |role| *role = Role::new(setup::PULL_ROLE)),
            parts: &["403", "account A or B: AssumeRole: NoPermission", "A must allow it, and B's role must trust A"],
            ..none()
        },
        Mistake {
            what: "the role's ARN has a typing error",
            configure: |config| config.replace("role/acr-pull", "role/acr-pul"),
            parts: &["403", "account B: AssumeRole: EntityNotExist.Role", "correct assumeRoleARN"],
            ..none()
        },
        Mistake {
            what: "the token is for another audience",
            make: |cloud| {
                let (directory, now) = (cloud.directory(), cloud.clock().now());
                let mut claims = directory.oidc_claims(setup::SUBJECT, now, jiff::SignedDuration::from_hours(1));
                claims["aud"] = serde_json::json!(["https://kubernetes.default.svc"]);
                std::fs::write(cloud.oidc_token_file(), directory.sign_oidc_token(&claims)).expect("a token");
            },
            parts: &["503", "node: AssumeRoleWithOIDC: OIDCToken.AudienceNotMatch", "audience: sts.aliyuncs.com"],
            ..none()
        },
        Mistake {
            what: "the token file is not mounted",
            make: |cloud| std::fs::remove_file(cloud.oidc_token_file()).expect("the token was there"),
            parts: &["503", "node: the RRSA token file cannot be read", "correct rrsa.tokenFile"],
            ..none()
        },
        Mistake {
            what: "STS is out of reach",
            make: |cloud| {
                cloud.fault(Fault::on(Service::Sts, Effect::RefuseConnection));
            },
            parts: &["503", "network: AssumeRoleWithOIDC cannot connect to sts-vpc.cn-hangzhou.aliyuncs.com"],
            ..none()
        },
        Mistake {
            what: "there is no such repository",
            repository: "team/none",
            // containerd has words of its own for 404, and shows nobody else's.
            parts: &["not found"],
            ..none()
        },
    ]
}

async fn node(mistake: &Mistake) -> Node {
    let cloud = CloudSim::start().await.expect("a cloud");
    let image = Image::random(1, 1024, 8);
    cloud.push(setup::INSTANCE, REPOSITORY, TAG, &image).expect("pushed");
    (mistake.make)(&cloud);
    let config = (mistake.configure)(cloud.node_config(Method::Rrsa));
    let daemon = crate::support::daemon::Daemon::start(&config).await;
    let mirror = crate::support::client::Mirror::at(daemon.listen);
    Node { cloud, image, daemon, mirror }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_phrase_is_short_and_says_who_must_act() {
    for mistake in mistakes() {
        let node = node(&mistake).await;
        let path = manifest(TAG).replace(REPOSITORY, mistake.repository);
        let reply = node.mirror.head(&path).await;
        let status_line = format!("{} {}", reply.status.as_u16(), reply.reason);
        assert!(reply.reason.is_ascii() && reply.reason.len() <= LONGEST, "{}: {status_line}", mistake.what);
        for part in mistake.parts {
            assert!(status_line.contains(part), "{}: no '{part}' in: {status_line}", mistake.what);
        }
        let answer = node.mirror.get(&path).await;
        assert_eq!(answer.error().1, answer.reason, "{}", mistake.what);
        node.finish().await;
    }
}

mod with_containerd {
    use super::{DOMAIN, TAG, mistakes, node};
    use crate::support::containerd::Containerd;
    use crate::support::cri;

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_shown_in_the_event_of_the_pod() {
        let containerd = Containerd::start().await;
        for mistake in mistakes() {
            let node = node(&mistake).await;
            containerd.send_pulls_to(DOMAIN, &format!("http://{}", node.daemon.listen));
            let name = format!("{DOMAIN}/{}:{TAG}", mistake.repository);
            let event = cri::pull_image(&containerd.socket(), &name).await.expect_err(mistake.what);
            for part in mistake.parts {
                assert!(event.contains(part), "{}: no '{part}' in: {event}", mistake.what);
            }
            node.finish().await;
        }
    }
}

#[test]
fn every_failure_stands_in_the_table_that_is_documented() {
    let text = markdown();
    for row in rows() {
        assert!(text.contains(row.seen) && text.contains(&*row.fix(&Names::default())), "{}", row.seen);
    }
}

/// Where the table stands in the README.
const BEGIN: &str = "<!-- troubleshooting -->\n";
const END: &str = "<!-- /troubleshooting -->";

#[test]
fn the_readme_has_the_table_of_the_code() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    let section = readme.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(section, _)| section);
    let written = section.map(str::trim).unwrap_or_default();
    assert_eq!(written, markdown().trim(), "paste what this test expects between the comments");
}
