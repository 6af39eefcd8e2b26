//! `policy`: the RAM policies that a configuration needs, each with the place where it is pasted. Offline.

mod documents;

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::Form;
use super::doctor::token_file::Claims;
use super::output::{Failure, note, print, print_json};
use crate::config::{Environment, Loaded, Overlay, Problem, load};
use documents::{Workload, documents};

/// One policy of one account.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    /// The instances that need it.
    instances: Vec<String>,
    /// The account that it belongs to, as far as the configuration says.
    account: Option<String>,
    /// What it is.
    kind: Kind,
    /// The role or user it is pasted to.
    target: String,
    /// Where in the console.
    place: String,
    policy: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    TrustPolicy,
    PermissionPolicy,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::TrustPolicy => "trust policy",
            Self::PermissionPolicy => "permission policy",
        }
    }
}

/// The service account that the daemon runs as.
#[derive(Debug, clap::Args)]
pub(super) struct ServiceAccount {
    /// The namespace the daemon runs in.
    #[arg(long, value_name = "NAME", env = "ACR_PULL_PROXY_NAMESPACE", default_value = "kube-system")]
    pub(super) namespace: String,
    /// The service account it runs as.
    #[arg(long, value_name = "NAME", env = "ACR_PULL_PROXY_SERVICE_ACCOUNT", default_value = "acr-pull-proxy")]
    pub(super) service_account: String,
}

impl ServiceAccount {
    /// The `sub` of its tokens.
    pub(super) fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }
}

pub(super) fn run(
    path: &Path,
    environment: &Environment,
    overlay: &Overlay,
    account: &ServiceAccount,
    form: Form,
) -> Result<(), Failure> {
    let Loaded { config, mut notes } = load(path, environment, overlay).map_err(Failure::Configuration)?;
    let region = environment.value("ALIBABA_CLOUD_STS_REGION").or(environment.value("ALIBABA_CLOUD_REGION_ID"));
    // On the node the token itself says who issued it; elsewhere the ARN of the provider and the region say it.
    let issuer = Claims::read(&config.rrsa.token_file).ok().map(|claims| claims.iss);
    let workload = Workload { subject: account.subject(), region: region.map(str::to_owned), issuer };
    let documents = documents(&config, &workload);
    notes.retain(Problem::is_in_the_file);
    note(&notes);
    match form {
        Form::Json => print_json(&documents),
        Form::Text => print(&documents.iter().map(text).collect::<Vec<_>>().join("\n")),
    }
}

fn text(document: &Document) -> String {
    let account = document.account.as_deref().map_or(String::new(), |account| format!(" (account {account})"));
    format!(
        "# {} of {}{account}\n# for {}\n# paste it at: {}\n{:#}\n",
        document.kind.as_str(),
        document.target,
        document.instances.join(", "),
        document.place,
        document.policy
    )
}

#[cfg(test)]
mod tests {
    use super::{Document, Kind, text};

    #[test]
    fn the_text_says_what_where_and_for_whom() {
        let document = Document {
            instances: vec!["cri-1".into()],
            account: Some("222222222222".into()),
            kind: Kind::TrustPolicy,
            target: "acs:ram::222222222222:role/acr-pull".into(),
            place: "RAM console".into(),
            policy: serde_json::json!({"Version": "1"}),
        };
        assert_eq!(
            text(&document),
            "# trust policy of acs:ram::222222222222:role/acr-pull (account 222222222222)\n# for cri-1\n\
             # paste it at: RAM console\n{\n  \"Version\": \"1\"\n}\n"
        );
    }
}
