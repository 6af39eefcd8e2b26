use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Config, CredentialSource, Domains, Environment, Loaded, Overlay, Problem, Unusable, load};
use crate::credentials::plan::{Base, SessionPolicy};
use crate::http::client::TargetHost;

mod bad_input;
mod reload;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config")
}

fn sample(name: &str) -> Loaded {
    load_path(&samples().join(name)).unwrap()
}

fn load_path(path: &Path) -> Result<Loaded, Unusable> {
    load(path, &Environment::of([("HOME", "/nonexistent")]), &Overlay::default())
}

fn load_text(text: &str) -> Result<Loaded, Unusable> {
    load_text_in(text, &Environment::default())
}

fn load_text_in(text: &str, environment: &Environment) -> Result<Loaded, Unusable> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    load(file.path(), environment, &Overlay::default())
}

fn paths(problems: &[Problem]) -> Vec<&str> {
    problems.iter().map(|problem| problem.path.as_str()).collect()
}

/// An instance without a credential source of its own, for tests of just that.
fn instance_with(keys: &str) -> String {
    let mut text = "instances:\n  - instanceId: cri-1\n    domains: a.example.com\n".to_owned();
    for line in keys.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text
}

fn bases(config: &Config) -> &[Base] {
    &config.instances[0].token.chain.bases
}

#[test]
fn the_least_configuration_is_complete() {
    let Loaded { config, notes } = sample("minimal.yaml");
    assert_eq!(
        (config.listen.to_string(), config.admin.to_string()),
        ("127.0.0.1:7080".into(), "127.0.0.1:7081".into())
    );
    let instance = &config.instances[0];
    assert_eq!(instance.id.as_str(), "cri-abcd1234efgh5678");
    assert_eq!(instance.domains.named().len(), 2);
    assert_eq!(instance.token.chain.duration, Duration::from_hours(1));
    assert_eq!(instance.token.chain.session_policy, SessionPolicy::PullOnly);
    assert!(matches!(bases(&config).last(), Some(Base::RamRole { name: None })));
    assert_eq!(notes, []);
}

#[test]
fn every_key_of_the_contract_is_understood() {
    let Loaded { config, notes } = sample("full.yaml");
    assert_eq!(config.instances.len(), 4);
    let first = &config.instances[0];
    assert!(matches!(&first.token.chain.bases[..], [Base::Rrsa { .. }]));
    assert_eq!(first.upstream.repositories, ["team/*", "base/**"]);
    assert_eq!(first.upstream.pull_from[0].as_str(), "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com");
    assert_eq!(first.token.chain.external_id.as_deref(), Some("partner-42"));
    assert_eq!(config.instances[1].token.chain.hops.len(), 2);
    assert!(matches!(&config.instances[1].token.chain.session_policy, SessionPolicy::Inline(_)));
    assert_eq!(config.instances[2].credential_source, CredentialSource::AccessKey);
    assert_eq!(config.instances[2].domains, Domains::Discover);
    let personal = &config.instances[3];
    assert_eq!(personal.id.as_str(), "personal-cn-beijing");
    assert_eq!(personal.domains.named()[0].as_str(), "registry.cn-beijing.aliyuncs.com");
    assert_eq!(config.network.hosts[1].targets[1].port, Some(8443));
    assert!(matches!(&config.network.hosts[2].targets[0].host, TargetHost::Name(_)));
    assert_eq!(config.network.blob_proxy.as_deref(), Some("http://127.0.0.1:4001"));
    assert_eq!((config.blobs.part_size, config.blobs.memory), (8 << 20, 128 << 20));
    // The token files are not on the machine that runs this test; the Personal Edition's role is of this account.
    assert_eq!(paths(&notes), ["instances[3].assumeRoleARN", "clientAuth.tokenFile", "rrsa.tokenFile"]);
}

#[test]
fn the_incumbents_config_map_is_read_unchanged() {
    let Loaded { config, notes } = sample("acr-configuration.yaml");
    assert_eq!(config.instances.len(), 2);
    assert_eq!(config.instances[0].token.chain.duration, Duration::from_hours(12));
    assert!(matches!(bases(&config), [Base::Rrsa { .. }]));
    assert!(matches!(&config.instances[1].token.chain.bases[..], [Base::AccessKey { .. }]));
    let noted = paths(&notes);
    for key in ["acr-api-version", "notify-email", "service-account", "watch-namespace", "webhook-configuration"] {
        assert!(noted.contains(&format!("data.{key}").as_str()), "{key}: {noted:?}");
    }
    let secret = notes.iter().find(|note| note.path == "data.acr-registry-info[1].customAccessKeySecret").unwrap();
    assert_eq!(secret.line, Some(20), "the line in the whole file");
    assert!(!format!("{config:?} {notes:?}").contains("example-key-secret"));
}

#[test]
fn the_config_map_may_be_mounted_and_the_add_on_has_json() {
    let mounted = sample("mounted");
    assert_eq!(mounted.config.expiring_threshold, Duration::from_mins(10));
    assert_eq!(paths(&mounted.notes), ["watch-namespace"]);
    let addon = sample("managed-addon.json");
    assert_eq!(addon.config.instances[0].token.chain.hops[0].as_str(), "acs:ram::222222222222:role/acr-pull");
    assert_eq!(paths(&addon.notes), ["serviceAccount", "watchNamespace"]);
}

#[test]
fn what_is_printed_can_be_read_again() {
    for name in ["minimal.yaml", "full.yaml", "acr-configuration.yaml", "managed-addon.json", "mounted"] {
        let printed = sample(name).config.effective();
        let yaml = printed.to_yaml().unwrap();
        let json = serde_json::to_string_pretty(&printed).unwrap();
        assert!(!yaml.contains("example-key-secret"), "{yaml}");
        for text in [&yaml, &json] {
            let again = load_text_in(text, &Environment::of([("HOME", "/nonexistent")]));
            let again = again.unwrap_or_else(|unusable| panic!("{name}: {unusable:#?}\n{text}"));
            assert_eq!(serde_json::to_string_pretty(&again.config.effective()).unwrap(), json, "{name}");
        }
    }
}

#[test]
fn a_flag_beats_the_file() {
    let overlay = Overlay { listen: Some("127.0.0.1:0".parse().unwrap()), ..Overlay::default() };
    let loaded = load(&samples().join("minimal.yaml"), &Environment::default(), &overlay).unwrap();
    assert_eq!(loaded.config.listen.port(), 0);
}

#[test]
fn the_first_credential_is_the_first_one_configured() {
    let keys = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "id"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret")];
    let rrsa = "rrsaRoleARN: acs:ram::1:role/a\nrrsaOIDCProviderRoleARN: acs:ram::1:oidc-provider/b";
    let both = format!("customAccessKeyFile: /id\ncustomAccessKeySecretFile: /secret\n{rrsa}");
    let environment = Environment::of(keys);
    let first = |text: &str, environment: &Environment| {
        let loaded = load_text_in(&instance_with(text), environment).unwrap();
        bases(&loaded.config).to_vec()
    };
    assert!(matches!(&first(&both, &environment)[..], [Base::AccessKeyFile { .. }]));
    assert!(matches!(&first(rrsa, &environment)[..], [Base::Rrsa { .. }]));
    assert!(matches!(&first("", &environment)[..], [Base::Environment { .. }]));
    assert!(matches!(&first("credentialSource: ramRole", &environment)[..], [Base::RamRole { .. }]));
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".aliyun")).unwrap();
    std::fs::write(home.path().join(".aliyun/config.json"), "{}").unwrap();
    let home = home.path().to_str().unwrap();
    let node = Environment::of([("HOME", home), ("ALIBABA_CLOUD_CREDENTIALS_URI", "http://127.0.0.1/c")]);
    let all = first("", &node);
    assert!(matches!(&all[..], [Base::Profile { .. }, Base::CredentialsUri { .. }, Base::RamRole { .. }]), "{all:?}");
}

#[test]
fn rrsa_takes_from_the_webhooks_variables_what_the_file_leaves_out() {
    let environment = Environment::of([
        ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/a"),
        ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/b"),
        ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "/token"),
    ]);
    let text = format!("rrsa: {{enable: true}}\n{}", instance_with(""));
    let loaded = load_text_in(&text, &environment).unwrap();
    let [Base::Rrsa { role, token_file, .. }] = bases(&loaded.config) else { panic!("RRSA") };
    assert_eq!((role.as_str(), token_file.as_path()), ("acs:ram::1:role/a", Path::new("/token")));
    // Without the switch they could belong to anything else in the pod.
    let loaded = load_text_in(&instance_with(""), &environment).unwrap();
    assert!(!bases(&loaded.config).iter().any(|base| matches!(base, Base::Rrsa { .. })));
}

#[test]
fn an_empty_key_is_the_same_as_none() {
    let text =
        "instances:\n  - instanceId: cri-1\n    domains: a.example.com\n    assumeRoleARN:\n    customAccessKey: ''\n";
    let loaded = load_text(text).unwrap();
    assert!(loaded.config.instances[0].token.chain.hops.is_empty());
}
