//! From a role chain to the policies that let it work. Pure.
//!
//! Every hop needs two halves (STS, AssumeRole): the caller's permission, and the trust of the role. The first role is
//! trusted by an OIDC provider (RRSA page) or by the ECS service; the last one may fetch a login and pull.

use serde_json::{Value, json};

use super::{Document, Kind};
use crate::config::{Config, Instance};
use crate::credentials::plan::{Base, OidcProviderArn, Params, RoleArn};

/// What the last role needs in the registry's account, and nothing else.
const PULL_ACTIONS: [&str; 3] = ["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint", "cr:PullRepository"];
/// The audience that STS takes (RRSA page).
const AUDIENCE: &str = "sts.aliyuncs.com";
/// What ACK names the OIDC provider of a cluster by, before the cluster's id.
const PROVIDER_PREFIX: &str = "ack-rrsa-";

/// Who presents the service-account token.
#[derive(Debug)]
pub(super) struct Workload {
    /// The `sub` of its tokens.
    pub(super) subject: String,
    /// The region of its cluster, where it is known.
    pub(super) region: Option<String>,
    /// The `iss` of its tokens, where one of them can be read here.
    pub(super) issuer: Option<String>,
}

/// All policies of a configuration; what several instances need alike comes once.
pub(super) fn documents(config: &Config, workload: &Workload) -> Vec<Document> {
    let mut all: Vec<Document> = Vec::new();
    for instance in &config.instances {
        for document in of_instance(instance, workload) {
            let same = |known: &&mut Document| {
                (&known.target, known.kind, &known.policy) == (&document.target, document.kind, &document.policy)
            };
            match all.iter_mut().find(same) {
                Some(known) => known.instances.extend(document.instances),
                None => all.push(document),
            }
        }
    }
    all
}

fn of_instance(instance: &Instance, workload: &Workload) -> Vec<Document> {
    let chain = &instance.token.chain;
    let region = workload.region.as_deref().or(instance.token.region.as_ref().map(|region| region.as_str()));
    let mut documents = Vec::new();
    let mut add = |kind, target: &Target, policy| {
        documents.push(Document {
            instances: vec![instance.id.to_string()],
            account: target.account.clone(),
            kind,
            target: target.name.clone(),
            place: target.place(kind),
            policy,
        });
    };
    for base in &chain.bases {
        let target = Target::of_base(base);
        match base {
            Base::Rrsa { provider, .. } => {
                let issuer = workload.issuer.clone().unwrap_or_else(|| issuer(provider, region));
                add(Kind::TrustPolicy, &target, trust_of_token(provider, &workload.subject, &issuer));
            }
            Base::RamRole { .. } => add(Kind::TrustPolicy, &target, trust_of_ecs()),
            _ => {}
        }
        add(Kind::PermissionPolicy, &target, permission(chain.hops.first()));
    }
    for (index, role) in chain.hops.iter().enumerate() {
        let target = Target::of_role(role);
        add(Kind::TrustPolicy, &target, trust_of_caller(chain, index));
        add(Kind::PermissionPolicy, &target, permission(chain.hops.get(index + 1)));
    }
    documents
}

/// The role or user that a policy belongs to.
struct Target {
    name: String,
    account: Option<String>,
    is_role: bool,
}

impl Target {
    fn of_base(base: &Base) -> Self {
        match base {
            Base::Rrsa { role, .. } => Self::of_role(role),
            other => {
                let is_role = matches!(other, Base::RamRole { .. });
                Self { name: other.identity(), account: None, is_role }
            }
        }
    }

    fn of_role(role: &RoleArn) -> Self {
        Self { name: role.to_string(), account: role.account().map(str::to_owned), is_role: true }
    }

    fn place(&self, kind: Kind) -> String {
        let page = if self.is_role { "Identities > Roles" } else { "Identities > Users" };
        let name = self.name.rsplit_once('/').map_or("that one", |(_, name)| name);
        match kind {
            Kind::TrustPolicy => format!("RAM console > {page} > {name} > Trust Policy > Edit"),
            Kind::PermissionPolicy => {
                format!(
                    "RAM console > Permissions > Policies > Create (script), then {page} > {name} > Grant Permission"
                )
            }
        }
    }
}

fn trust(principal: &Value, condition: Option<Value>) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal});
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    json!({"Version": "1", "Statement": [statement]})
}

fn trust_of_token(provider: &OidcProviderArn, subject: &str, issuer: &str) -> Value {
    let condition = json!({"StringEquals": {
        "oidc:iss": issuer,
        "oidc:aud": AUDIENCE,
        "oidc:sub": subject,
    }});
    trust(&json!({"Federated": [provider.as_str()]}), Some(condition))
}

/// The issuer of an ACK cluster (RRSA page), with its region and id as far as they are known. A cluster is mostly in the
/// region of the instances that it pulls from.
fn issuer(provider: &OidcProviderArn, region: Option<&str>) -> String {
    let name = provider.as_str().rsplit_once('/').map_or("", |(_, name)| name);
    let cluster = name.strip_prefix(PROVIDER_PREFIX).unwrap_or("<cluster id>");
    let region = region.unwrap_or("<region of the cluster>");
    format!("https://oidc-ack-{region}.oss-{region}.aliyuncs.com/{cluster}")
}

fn trust_of_ecs() -> Value {
    trust(&json!({"Service": ["ecs.aliyuncs.com"]}), None)
}

fn trust_of_caller(chain: &Params, index: usize) -> Value {
    let callers: Vec<Value> = match index.checked_sub(1).and_then(|before| chain.hops.get(before)) {
        Some(role) => vec![json!(role.as_str())],
        None => chain.bases.iter().map(|base| json!(principal(base))).collect(),
    };
    let last = index + 1 == chain.hops.len();
    let external_id = chain.external_id.as_ref().filter(|_| last);
    let condition = external_id.map(|id| json!({"StringEquals": {"sts:ExternalId": id}}));
    trust(&json!({"RAM": callers}), condition)
}

/// The ARN of a base as a principal; in its place what has to be filled in where the configuration does not say it.
fn principal(base: &Base) -> String {
    match base {
        Base::Rrsa { role, .. } => role.to_string(),
        Base::RamRole { name } => {
            let name = name.as_deref().unwrap_or("<RAM role of the nodes>");
            format!("acs:ram::<account A>:role/{name}")
        }
        _ => "acs:ram::<account A>:user/<RAM user of the AccessKey>".to_owned(),
    }
}

/// The next step, or with none the pull.
fn permission(next: Option<&RoleArn>) -> Value {
    let statement = match next {
        Some(role) => json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role.as_str()}),
        None => json!({"Effect": "Allow", "Action": PULL_ACTIONS, "Resource": "*"}),
    };
    json!({"Version": "1", "Statement": [statement]})
}

#[cfg(test)]
mod tests;
