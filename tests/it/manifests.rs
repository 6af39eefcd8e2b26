//! The manifests of `daemonset/`: what every overlay becomes, held against Kubernetes' schemas and against the rules
//! for a pod that the node depends on.
//!
//! What the overlays become is kept in `tests/data/daemonset`, so that these tests need no `kubectl`; one more test, which
//! needs it, holds what is kept against the overlays.

mod schema;
mod started;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use schema::Schemas;

/// What is kept, and what it is built from.
const BUILT: [(&str, &str); 5] = [
    ("rrsa", "daemonset/overlays/rrsa"),
    ("worker-role", "daemonset/overlays/worker-role"),
    ("access-key-file", "daemonset/overlays/access-key-file"),
    ("cleanup", "daemonset/cleanup"),
    ("everything", "tests/data/daemonset/everything"),
];

/// The oldest version that is still met on nodes, and the newest.
const VERSIONS: [&str; 2] = ["v1.28", "v1.37"];

/// What is needed; neither a Secret nor a right is.
const KINDS: [&str; 5] = ["DaemonSet", "ConfigMap", "ServiceAccount", "PodMonitor", "PrometheusRule"];

/// The definitions of the kinds that come from the Prometheus Operator.
const OPERATOR: &str = "prometheus-operator";

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn objects(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).expect("YAML")).collect()
}

fn kept(name: &str) -> Vec<Value> {
    objects(&fs::read_to_string(path(&format!("tests/data/daemonset/{name}.yaml"))).expect(name))
}

fn pod(name: &str) -> Value {
    let found = kept(name).into_iter().find(|object| object["kind"] == "DaemonSet");
    found.expect("a DaemonSet")["spec"]["template"]["spec"].clone()
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

#[test]
fn kubectl_builds_what_is_kept() {
    for (name, directory) in BUILT {
        let output = Command::new("kubectl").arg("kustomize").arg(path(directory)).output().expect("kubectl");
        assert!(output.status.success(), "{directory}: {}", String::from_utf8_lossy(&output.stderr));
        let built = objects(&String::from_utf8(output.stdout).unwrap());
        let kept = kept(name);
        assert_eq!(built.len(), kept.len(), "{directory}; run tests/data/daemonset/build");
        for object in built {
            assert!(kept.contains(&object), "{directory} has changed: run tests/data/daemonset/build\n{object:#}");
        }
    }
}

#[test]
fn every_object_is_what_the_api_accepts() {
    for version in VERSIONS {
        let definitions = |name: &str| fs::read_to_string(path(&format!("tests/data/kubernetes/{name}.json"))).unwrap();
        let schemas = Schemas::parse(&[definitions(version), definitions(OPERATOR)]);
        for object in BUILT.iter().flat_map(|(name, _)| kept(name)) {
            let wrong = schemas.check(&object).unwrap_or_else(|| panic!("no schema for {object:#}"));
            assert!(wrong.is_empty(), "{version}: {wrong:#?}");
        }
        let find = |name: &str, kind| kept(name).into_iter().find(|object| object["kind"] == kind).unwrap();
        let mut broken = find("rrsa", "DaemonSet");
        broken["spec"]["template"]["spec"]["hostnetwork"] = Value::Bool(true);
        broken["spec"]["minReadySeconds"] = Value::String("5".into());
        assert_eq!(schemas.check(&broken).unwrap().len(), 2, "the schemas see a wrong name and a wrong type");
        let mut broken = find("everything", "PodMonitor");
        broken["spec"]["podMetricsEndpoints"][0]["relabelings"][0]["action"] = Value::String("hold".into());
        broken["spec"]["podMetricsEndpoints"][0]["honourLabels"] = Value::Bool(true);
        assert_eq!(schemas.check(&broken).unwrap().len(), 2, "the operator's too");
    }
}

#[test]
fn every_component_is_among_what_is_built() {
    let everything = fs::read_to_string(path("tests/data/daemonset/everything/kustomization.yaml")).unwrap();
    for component in fs::read_dir(path("daemonset/components")).unwrap() {
        let name = component.unwrap().file_name().into_string().unwrap();
        assert!(everything.contains(&format!("/components/{name}\n")), "{name}");
    }
    let kinds: HashSet<_> =
        BUILT.iter().flat_map(|(name, _)| kept(name)).map(|object| object["kind"].clone()).collect();
    for kind in KINDS {
        assert!(kinds.contains(&Value::from(kind)), "no {kind} was held against its schema");
    }
}

/// The user of the image, which is the one of the pods: two daemons of one node share an address only so.
fn user() -> u64 {
    let dockerfile = fs::read_to_string(path("Dockerfile")).unwrap();
    let user = dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    let (user, group) = user.split_once(':').expect("a group");
    assert_eq!(user, group);
    user.parse().expect("a number")
}

#[test]
fn nobody_else_is_the_user_of_the_daemon() {
    // Users of nodes and of images that are in wide use: nobody, distroless' nonroot, the first of those people add.
    assert!(![0, 1000, 1001, 10_000, 10_001, 65_532, 65_534].contains(&user()));
    let token_group = format!("--token-group={}", user());
    for container in ["initContainers", "containers"] {
        let arguments = items(&pod("everything")[container].as_array().unwrap().last().unwrap()["args"]);
        assert!(arguments.contains(&token_group.as_str().into()), "{container}");
    }
}

#[test]
fn nothing_holds_a_secret_or_a_right() {
    for (name, _) in BUILT {
        for object in kept(name) {
            let kind = object["kind"].as_str().unwrap_or_default();
            assert!(KINDS.contains(&kind), "{name}: {kind} is neither needed nor harmless");
            // Names of credentials' places are no credentials; anything that could carry one is.
            let text = object.to_string();
            for word in ["secretKeyRef", "secretRef", "secretName", "imagePullSecrets", "LTAI", "customAccessKey:"] {
                assert!(!text.contains(word), "{name}: {kind} has {word}");
            }
            assert!(!text.contains("customAccessKeySecret:"), "{name}: {kind} has a key in it");
        }
    }
}

#[test]
fn the_configuration_of_every_overlay_is_good() {
    for name in ["rrsa", "worker-role", "access-key-file"] {
        let mut check = Command::new(env!("CARGO_BIN_EXE_acr-pull-proxy"));
        check.env_clear().args(["check", "--config"]).arg(path(&format!("daemonset/overlays/{name}/config.yaml")));
        let output = check.output().expect("the daemon");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_pod_asks_for_nothing_but_the_network_and_its_directories() {
    for (name, _) in BUILT {
        let pod = pod(name);
        let containers = [items(&pod["initContainers"]), items(&pod["containers"])].concat();
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(pod["tolerations"], serde_json::json!([{ "operator": "Exists" }]), "{name}");
        for key in ["hostPID", "hostIPC", "shareProcessNamespace"] {
            assert!(pod[key].is_null(), "{name}: {key}");
        }
        for container in &containers {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{container:#}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{container:#}");
            assert_eq!(context["capabilities"], serde_json::json!({ "drop": ["ALL"] }), "{container:#}");
            assert!(context["privileged"].is_null(), "{container:#}");
            assert!(container["resources"]["requests"]["memory"].is_string(), "{container:#}");
            assert!(container["resources"]["limits"]["cpu"].is_null(), "a pull is never throttled: {container:#}");
            assert!(container["ports"].is_null(), "two pods of one node could not be scheduled: {container:#}");
            let writable = items(&container["volumeMounts"]).into_iter().filter(|mount| mount["readOnly"] != true);
            for mount in writable {
                assert!(container["name"].as_str().is_some_and(|name| name.starts_with("hosts")), "{mount}");
                let token = name == "everything" && mount["name"] == "client-token";
                assert!(mount["name"] == "certs" || token, "{mount}");
            }
        }
        for container in items(&pod["containers"]).iter().filter(|container| container["name"] != "hosts-watch") {
            assert_eq!(container["securityContext"]["runAsNonRoot"], true, "{name}");
            let context = &container["securityContext"];
            assert_eq!((&context["runAsUser"], &context["runAsGroup"]), (&user().into(), &user().into()), "{name}");
        }
    }
}

/// Check 19 (`tests/it/peers.rs`).
#[test]
fn the_daemon_is_there_before_the_cluster_is_and_is_replaced_without_a_gap() {
    for name in ["rrsa", "worker-role", "access-key-file", "everything"] {
        let pod = pod(name);
        assert_eq!(pod["hostNetwork"], true);
        assert_eq!(pod["dnsPolicy"], "Default");
        assert_eq!(pod["priorityClassName"], "system-node-critical");
        let drain = acr_pull_proxy::proxy::Params::default().drain.as_secs();
        assert!(pod["terminationGracePeriodSeconds"].as_u64().is_some_and(|grace| grace > drain));
        let set = kept(name).into_iter().find(|object| object["kind"] == "DaemonSet").unwrap();
        assert_eq!(
            set["spec"]["updateStrategy"]["rollingUpdate"],
            serde_json::json!({ "maxSurge": "10%", "maxUnavailable": 0 })
        );
        let serve = &pod["containers"][0];
        for (probe, wanted) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            let get = &serve[probe]["httpGet"];
            assert_eq!((&get["path"], &get["port"]), (&wanted.into(), &7081.into()), "{name}: {probe}");
            // A loopback address can only be asked from the node itself.
            let loopback = name != "everything";
            assert_eq!(get["host"] == "127.0.0.1", loopback, "{name}: {probe}");
        }
        // A daemon that hangs holds pulls until it is gone, and drains nothing.
        let live = &serve["livenessProbe"];
        assert_eq!(live["terminationGracePeriodSeconds"], 1);
        let number = |key: &str| live[key].as_u64().unwrap();
        assert!(number("periodSeconds") * number("failureThreshold") + number("timeoutSeconds") <= 20, "{live}");
        for container in [items(&pod["initContainers"]), items(&pod["containers"])].concat() {
            assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError", "{container:#}");
        }
    }
}

#[test]
fn the_token_is_for_the_cloud_alone() {
    for name in ["rrsa", "everything"] {
        let volumes = items(&pod(name)["volumes"]);
        let token =
            volumes.iter().find_map(|volume| volume["projected"]["sources"][0]["serviceAccountToken"].as_object());
        let token = token.expect("a projected token");
        assert_eq!(token["audience"], "sts.aliyuncs.com");
        assert_eq!(token["path"], "token");
    }
    assert!(items(&pod("worker-role")["volumes"]).iter().all(|volume| volume["projected"].is_null()));
}

#[test]
fn a_changed_configuration_is_rolled_out() {
    for name in ["rrsa", "worker-role", "access-key-file"] {
        let map = kept(name).into_iter().find(|object| object["kind"] == "ConfigMap").unwrap();
        let named = map["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(named.strip_prefix("acr-pull-proxy-").is_some_and(|checksum| checksum.len() == 10), "{named}");
        let volumes = items(&pod(name)["volumes"]);
        assert!(volumes.iter().any(|volume| volume["configMap"]["name"] == named.as_str()), "{named} is not mounted");
    }
}

#[test]
fn strict_metrics_and_the_client_token_are_added_by_their_components_only() {
    let count = |name: &str, word: &str| serde_json::to_string(&pod(name)).unwrap().matches(word).count();
    assert_eq!((count("everything", "\"--strict\""), count("rrsa", "--strict")), (2, 0), "whoever writes hosts.toml");
    let mounts = |name: &str| count(name, "client-token");
    assert_eq!((mounts("everything"), mounts("rrsa")), (4, 0), "a volume, mounted in each container");
    // Who asks the daemon asks where it answers.
    let pod = pod("everything");
    for container in [items(&pod["initContainers"]), items(&pod["containers"])].concat() {
        let admin = serde_json::json!({ "name": "ACR_PULL_PROXY_ADMIN", "value": "$(HOST_IP):7081" });
        let environment = items(&container["env"]);
        let at = environment.iter().position(|variable| *variable == admin).expect("the admin address");
        assert!(environment[..at].iter().any(|variable| variable["name"] == "HOST_IP"), "named before it is used");
    }
}
