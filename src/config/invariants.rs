//! What holds for every configuration, in our own format and in those of the component that is replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::load::Content;
use super::{Environment, Loaded, Overlay, Unusable};

/// Longest text that is tried: what is longer says nothing new, and takes longer.
const LONGEST: usize = 16 * 1024;

/// A file of ours, of the ConfigMap, or of the add-on.
pub(crate) fn configuration(data: &[u8]) {
    if let Some(text) = harmless(data) {
        check(load(&Content::File(text.to_owned())));
    }
}

/// The key `acr-registry-info` of the ConfigMap, mounted and in a file.
pub(crate) fn acr_configuration(data: &[u8]) {
    let Some(text) = harmless(data) else { return };
    let files = BTreeMap::from([("acr-registry-info".to_owned(), text.to_owned())]);
    let mounted = load(&Content::Directory(files));
    let quoted = serde_json::Value::from(text);
    let file = load(&Content::File(format!(
        "{{\"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"acr-configuration\"}}, \"data\": \
         {{\"acr-registry-info\": {quoted}}}}}"
    )));
    if let (Ok(mounted), Ok(file)) = (&mounted, &file) {
        assert_eq!(mounted.config.instances, file.config.instances, "a file and a mount mean different things");
    }
    check(mounted);
    check(file);
}

/// A text that names no device, which would be opened.
fn harmless(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data)
        .ok()
        .filter(|text| text.len() <= LONGEST && !text.contains("/dev") && !text.contains("/proc"))
}

fn load(content: &Content) -> Result<Loaded, Unusable> {
    content.load(Path::new("config.yaml"), &Environment::default(), &Overlay::default())
}

fn check(loaded: Result<Loaded, Unusable>) {
    let config = match loaded {
        Ok(loaded) => loaded.config,
        Err(unusable) => {
            assert!(!unusable.problems.is_empty(), "it is refused, and nobody knows why");
            assert!(unusable.problems.iter().all(|problem| !problem.text.is_empty()), "{unusable:?}");
            return;
        }
    };
    assert!(config.listen.ip().is_loopback() || config.client_token_file.is_some(), "{} is open", config.listen);
    assert!(config.listen != config.admin || config.listen.port() == 0, "two listeners at one address");
    assert!(!config.instances.is_empty(), "a configuration for nothing");
    let mut domains = BTreeSet::new();
    for instance in &config.instances {
        let lifetime = instance.token.chain.duration.as_secs();
        assert!((900..=43_200).contains(&lifetime), "a session of {lifetime} s");
        for domain in instance.domains.named() {
            assert!(domains.insert(domain.clone()), "{domain} has two instances");
        }
    }
    // What is shown as effective means the same when it is read.
    let shown = config.effective().to_yaml();
    let shown = shown.unwrap_or_else(|error| panic!("it cannot be shown: {error}"));
    let again = load(&Content::File(shown.clone()));
    let again =
        again.unwrap_or_else(|unusable| panic!("what is shown cannot be read: {:?}\n{shown}", unusable.problems));
    assert_eq!(again.config.effective().to_yaml(), Ok(shown));
}
