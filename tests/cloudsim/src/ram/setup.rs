//! The furnished cloud that tests and demonstrations start from.
//!
//! Account A runs the cluster, account B owns the instance. The names are those of the documentation, the numbers are
//! dummies.

use super::MAX_SESSION_DURATION;
use super::{Directory, Instance, Node, OidcPrincipal, OidcProvider, Policy, Principal, ProviderHealth, Role};
use crate::jwt::SigningKey;

/// The account of the cluster.
pub const ACCOUNT_A: &str = "111111111111";
/// The account of the instance.
pub const ACCOUNT_B: &str = "222222222222";
/// Where everything is.
pub const REGION: &str = "cn-hangzhou";
/// The cluster's OIDC provider.
pub const OIDC_PROVIDER: &str = "acs:ram::111111111111:oidc-provider/ack-rrsa-c0123";
/// The `iss` of the cluster's tokens.
pub const OIDC_ISSUER: &str = "https://oidc-ack-cn-hangzhou.oss-cn-hangzhou.aliyuncs.com/c0123";
/// The `aud` of the cluster's tokens.
pub const OIDC_AUDIENCE: &str = "sts.aliyuncs.com";
/// The daemon's service account.
pub const SUBJECT: &str = "system:serviceaccount:kube-system:acr-pull-proxy";
/// A's role behind the service account.
pub const CLUSTER_ROLE: &str = "acs:ram::111111111111:role/cluster-a";
/// A's role of the nodes.
pub const WORKER_ROLE: &str = "acs:ram::111111111111:role/KubernetesWorkerRole-0123";
/// A's role in the middle of longer chains.
pub const HOP_ROLE: &str = "acs:ram::111111111111:role/hop";
/// B's role that may pull.
pub const PULL_ROLE: &str = "acs:ram::222222222222:role/acr-pull";
/// A's RAM user that may assume B's role.
pub const USER_A: &str = "acs:ram::111111111111:user/operator";
/// B's RAM user with rights of its own.
pub const USER_B: &str = "acs:ram::222222222222:user/puller";
/// B's instance.
pub const INSTANCE: &str = "cri-abcd1234efgh5678";
/// Its name.
pub const INSTANCE_NAME: &str = "demo";
/// Its custom domain.
pub const CUSTOM_DOMAIN: &str = "images.example.com";

/// The three actions of the documented minimal policy.
const PULL_ACTIONS: [&str; 3] = ["cr:GetAuthorizationToken", "cr:ListInstanceEndpoint", "cr:PullRepository"];

/// A new furnished cloud. The secrets of its users come from [`Directory::access_key`].
#[must_use]
pub fn directory() -> Directory {
    let directory = Directory::new();
    directory.add_oidc_provider(OidcProvider {
        arn: OIDC_PROVIDER.to_owned(),
        issuer: OIDC_ISSUER.to_owned(),
        audience: OIDC_AUDIENCE.to_owned(),
        key: SigningKey::shared().clone(),
        health: ProviderHealth::Sound,
    });
    let service_account = OidcPrincipal {
        provider: OIDC_PROVIDER.to_owned(),
        issuer: OIDC_ISSUER.to_owned(),
        audience: OIDC_AUDIENCE.to_owned(),
        subject: SUBJECT.to_owned(),
    };
    let by_role = |arn: &str| Principal::Role(arn.to_owned());
    directory.add_role(Role::new(CLUSTER_ROLE).trusting(Principal::Oidc(service_account)).allowed(assume_any()));
    directory.add_role(Role::new(WORKER_ROLE).allowed(assume_any()));
    directory.add_role(
        Role::new(HOP_ROLE).trusting(by_role(CLUSTER_ROLE)).trusting(by_role(WORKER_ROLE)).allowed(assume_any()),
    );
    directory.add_role(
        [CLUSTER_ROLE, WORKER_ROLE, HOP_ROLE]
            .into_iter()
            .fold(Role::new(PULL_ROLE), |role, arn| role.trusting(by_role(arn)))
            .trusting(Principal::User(USER_A.to_owned()))
            .trusting(Principal::User(USER_B.to_owned()))
            .allowed(Policy::allow(&PULL_ACTIONS, "*"))
            .lasting_at_most(MAX_SESSION_DURATION),
    );
    directory.add_user(USER_A, assume_any());
    directory.add_user(USER_B, Policy::allow(&PULL_ACTIONS, "*").and(Policy::allow(&["sts:AssumeRole"], PULL_ROLE)));
    directory.add_instance(Instance::new(INSTANCE, INSTANCE_NAME, REGION, ACCOUNT_B).with_custom_domain(CUSTOM_DOMAIN));
    directory.add_personal_edition(ACCOUNT_B, REGION);
    directory.set_node(Node {
        instance_id: "i-bp1example0123456789".to_owned(),
        account: ACCOUNT_A.to_owned(),
        region: REGION.to_owned(),
        zone: "cn-hangzhou-h".to_owned(),
        vpc_id: "vpc-bp1example".to_owned(),
        role: Some(WORKER_ROLE.to_owned()),
    });
    directory
}

/// What the system policy AliyunSTSAssumeRoleAccess gives: any role, if that role agrees.
fn assume_any() -> Policy {
    Policy::allow(&["sts:AssumeRole"], "*")
}
