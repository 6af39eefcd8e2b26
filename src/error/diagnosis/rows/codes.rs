//! The error codes of the cloud, as the error pages of STS, of the Container Registry API and of RRSA have them.

use super::code;
use crate::error::Blame::{Cloud, EitherAccount, Node, NodeAccount, RegistryAccount};
use crate::error::diagnosis::Row;

/// The order matters: the first row that fits is taken.
#[rustfmt::skip]
pub(super) const CODES: &[Row] = &[
    code(["AssumeRoleWithOIDC", "NoPermission"], NodeAccount, [
        "`AssumeRoleWithOIDC: NoPermission`",
        "the trust policy of account A's role does not accept the service-account token",
        "let the trust policy of {role} name the OIDC provider under Principal.Federated with the issuer, audience and \
         subject of the token; `policy` prints it",
        "let A's role trust the pod's token",
    ]),
    code(["", "NoPermission"], EitherAccount, [
        "`AssumeRole: NoPermission`",
        "one of two halves is missing, and the cloud does not tell which: the right of the caller, or the trust of the \
         role; keys of a root account cannot assume roles at all",
        "account A: allow sts:AssumeRole on {role} in the policy of {caller}; account B: name it in the trust policy of \
         {role} under Principal.RAM: {caller}; `policy` prints both",
        "A must allow it, and B's role must trust A",
    ]),
    code(["AssumeRoleWithOIDC", "EntityNotExist.Role"], NodeAccount, [
        "`AssumeRoleWithOIDC: EntityNotExist.Role`",
        "there is no role of that name in account A",
        "create {role} or correct rrsaRoleARN",
        "create it or correct rrsaRoleARN",
    ]),
    code(["", "EntityNotExist.Role"], RegistryAccount, [
        "`AssumeRole: EntityNotExist.Role`",
        "there is no role of that name",
        "create {role} or correct assumeRoleARN",
        "create it or correct assumeRoleARN",
    ]),
    code(["", "AuthenticationFail.NoPermission"], NodeAccount, [
        "`AssumeRoleWithOIDC: AuthenticationFail.NoPermission`",
        "RRSA is not enabled, the provider's ARN is wrong, or the role's conditions do not match the token",
        "enable RRSA on the cluster, check rrsaOIDCProviderRoleARN, and let oidc:iss, oidc:aud and oidc:sub in the trust \
         policy of {role} match the token, which `doctor` shows",
        "check RRSA and the trust policy of A's role",
    ]),
    code(["", "AuthenticationFail.OIDCToken.AudienceNotMatch"], Node, [
        "`OIDCToken.AudienceNotMatch`",
        "the service-account token is for another audience",
        "project the service-account token with `audience: sts.aliyuncs.com`",
        "audience: sts.aliyuncs.com",
    ]),
    code(["", "AuthenticationFail.OIDCToken.Expired"], Node, [
        "`OIDCToken.Expired`",
        "the token file is no longer renewed",
        "mount it as a projected volume, so that kubelet renews it, and not by subPath",
        "kubelet must renew the token file",
    ]),
    code(["", "AuthenticationFail.OIDCToken.IssuerNotMatch"], Node, [
        "`OIDCToken.IssuerNotMatch`",
        "the pod is older than RRSA on this cluster, or the provider belongs to another cluster",
        "recreate the pod; if that does not help, correct rrsaOIDCProviderRoleARN",
        "recreate the pod",
    ]),
    code(["", "AuthenticationFail.OIDCToken.IssuerConfigurationBroken"], NodeAccount, [
        "`OIDCToken.IssuerConfigurationBroken`",
        "RAM cannot read the issuer's keys",
        "disable and enable RRSA on the cluster, then recreate the pod",
        "enable RRSA again",
    ]),
    code(["", "AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch"], NodeAccount, [
        "`OIDCToken.PublicKeyFingerprintMismatch`",
        "the fingerprint of the OIDC provider in RAM is an old one",
        "renew the fingerprint of the OIDC provider in RAM of account A",
        "renew the provider's fingerprint",
    ]),
    code(["", "AuthenticationFail*"], NodeAccount, [
        "`AuthenticationFail...`",
        "STS does not accept the service-account token",
        "check the OIDC provider in RAM of account A and the token that `doctor` shows",
        "check the OIDC provider",
    ]),
    code(["", "InvalidParameter.DurationSeconds"], Node, [
        "`InvalidParameter.DurationSeconds`",
        "expireDuration is outside of what the role allows",
        "lower expireDuration, or raise MaxSessionDuration of {role}",
        "lower expireDuration",
    ]),
    code(["", "InvalidParameter*"], Node, [
        "`InvalidParameter...`",
        "a value of the configuration is not accepted",
        "correct the value that the code names; `check` shows what is configured",
        "correct the value that the code names",
    ]),
    code(["", "InvalidAccessKeyId*"], Node, [
        "`InvalidAccessKeyId...`",
        "the AccessKey is unknown, disabled or deleted",
        "replace the AccessKey pair, or move to a role",
        "replace the AccessKey pair",
    ]),
    code(["", "Forbidden.AccessKeyDisabled"], Node, [
        "`Forbidden.AccessKeyDisabled`",
        "the AccessKey is disabled",
        "replace the AccessKey pair, or move to a role",
        "replace the AccessKey pair",
    ]),
    code(["", "InvalidSecurityToken*"], Cloud, [
        "`InvalidSecurityToken...`",
        "a session ended before its time",
        "wait: the daemon fetches a new one; if it goes on, look whether {role} was changed or deleted",
        "a new session is fetched",
    ]),
    code(["", "InvalidTimeStamp*"], Node, [
        "`InvalidTimeStamp...`",
        "the node's clock is more than 15 minutes wrong",
        "set the node's clock right (chrony, ntpd)",
        "set the node's clock right",
    ]),
    code(["", "Signature*"], Node, [
        "`SignatureDoesNotMatch`",
        "AccessKey id and secret do not belong together, or something rewrites requests on the way",
        "check the pair, and that no proxy stands between this node and {host}",
        "check AccessKey id and secret",
    ]),
    code(["", "IncompleteSignature"], Node, [
        "`IncompleteSignature`",
        "something rewrites requests on the way",
        "check that no proxy stands between this node and {host}",
        "check for a proxy on the way",
    ]),
    code(["", "MissingSecurityToken"], Node, [
        "`MissingSecurityToken`",
        "a temporary AccessKey is configured without its security token",
        "configure a key of a RAM user, or ALIBABA_CLOUD_SECURITY_TOKEN with it",
        "add the security token",
    ]),
    code(["", "NoPrivilege"], RegistryAccount, [
        "`GetAuthorizationToken: NoPrivilege`",
        "the last role may not fetch a login",
        "allow cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository on {caller}; `policy` prints it",
        "allow cr:GetAuthorizationToken to the role",
    ]),
    code(["", "INSTANCE_NOT_EXIST"], RegistryAccount, [
        "`INSTANCE_NOT_EXIST`",
        "the instance is not in this region or not in the last role's account",
        "check instanceId and regionId, and that the last role belongs to the instance's account",
        "check instanceId and regionId",
    ]),
    code(["", "USER_NOT_EXIST"], RegistryAccount, [
        "`USER_NOT_EXIST`",
        "the Personal Edition was never opened by this user",
        "activate the Personal Edition for this user once in the console",
        "activate the Personal Edition once",
    ]),
];
