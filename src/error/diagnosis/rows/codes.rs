//! The error codes of the cloud, as the error pages of STS, of the Container Registry API and of RRSA have them.

use super::code;
use crate::error::Blame::{Cloud, EitherAccount, Network, Node, NodeAccount, RegistryAccount};
use crate::error::diagnosis::{BEFORE_REGISTRY, Row};

/// Codes that every API has.
const ANY: &[&str] = &[];
/// What the last role calls.
const OF_LOGIN: &[&str] = &["GetAuthorizationToken", "ListInstanceEndpoint"];

/// The order matters: of the rows of one API, and then of those of any, the first that fits is taken.
#[rustfmt::skip]
pub(super) const CODES: &[Row] = &[
    code(&["AssumeRoleWithOIDC"], &["NoPermission"], NodeAccount, [
        "`AssumeRoleWithOIDC: NoPermission`",
        "the trust policy of account A's role does not accept the service-account token",
        "let the trust policy of {role} name the OIDC provider under Principal.Federated with the issuer, audience and \
         subject of the token; `policy` prints it",
        "let A's role trust the pod's token",
    ]),
    code(ANY, &["NoPermission"], EitherAccount, [
        "`AssumeRole: NoPermission`",
        "one of two halves is missing, and the cloud does not tell which: the right of the caller, or the trust of the \
         role; keys of a root account cannot assume roles at all",
        "account A: allow sts:AssumeRole on {role} in the policy of {caller}; account B: name it in the trust policy of \
         {role} under Principal.RAM: {caller}; `policy` prints both",
        "A must allow it, and B's role must trust A",
    ]),
    code(&[BEFORE_REGISTRY], &["NoPermission"], NodeAccount, [
        "`AssumeRole: NoPermission` on the way through account A",
        "one of two halves is missing: the right of the caller, or the trust of the role, which is not one of the registry's account",
        "allow sts:AssumeRole on {role} in the policy of {caller}, and name it in the trust policy of {role} under \
         Principal.RAM: {caller}; `policy` prints both",
        "A must allow it, and its role must trust",
    ]),
    code(&["AssumeRoleWithOIDC"], &["EntityNotExist.Role"], NodeAccount, [
        "`AssumeRoleWithOIDC: EntityNotExist.Role`",
        "there is no role of that name in account A",
        "create {role} or correct rrsaRoleARN",
        "create it or correct rrsaRoleARN",
    ]),
    code(ANY, &["EntityNotExist.Role"], RegistryAccount, [
        "`AssumeRole: EntityNotExist.Role`",
        "there is no role of that name",
        "create {role} or correct assumeRoleARN",
        "create it or correct assumeRoleARN",
    ]),
    code(&[BEFORE_REGISTRY], &["EntityNotExist.Role"], NodeAccount, [
        "`AssumeRole: EntityNotExist.Role` on the way through account A",
        "there is no role of that name in its account, which is not the registry's",
        "create {role} or correct that hop of assumeRoleARN",
        "create it or correct assumeRoleARN",
    ]),
    code(ANY, &["AuthenticationFail.NoPermission"], NodeAccount, [
        "`AssumeRoleWithOIDC: AuthenticationFail.NoPermission`",
        "RRSA is not enabled, the provider's ARN is wrong, or the role's conditions do not match the token",
        "enable RRSA on the cluster, check rrsaOIDCProviderRoleARN, and let oidc:iss, oidc:aud and oidc:sub in the trust \
         policy of {role} match the token, which `doctor` shows",
        "check RRSA and the trust policy of A's role",
    ]),
    code(ANY, &["AuthenticationFail.OIDCToken.AudienceNotMatch"], Node, [
        "`OIDCToken.AudienceNotMatch`",
        "the service-account token is for another audience",
        "project the service-account token with `audience: sts.aliyuncs.com`",
        "audience: sts.aliyuncs.com",
    ]),
    code(ANY, &["AuthenticationFail.OIDCToken.Expired"], Node, [
        "`OIDCToken.Expired`",
        "the token file is no longer renewed",
        "mount it as a projected volume, so that kubelet renews it, and not by subPath",
        "kubelet must renew the token file",
    ]),
    code(ANY, &["AuthenticationFail.OIDCToken.IssuerNotMatch"], Node, [
        "`OIDCToken.IssuerNotMatch`",
        "the pod is older than RRSA on this cluster, or the provider belongs to another cluster",
        "recreate the pod; if that does not help, correct rrsaOIDCProviderRoleARN",
        "recreate the pod",
    ]),
    code(ANY, &["AuthenticationFail.OIDCToken.IssuerConfigurationBroken"], NodeAccount, [
        "`OIDCToken.IssuerConfigurationBroken`",
        "RAM cannot read the issuer's keys",
        "disable and enable RRSA on the cluster, then recreate the pod",
        "enable RRSA again",
    ]),
    code(ANY, &["AuthenticationFail.OIDCToken.PublicKeyFingerprintMismatch"], NodeAccount, [
        "`OIDCToken.PublicKeyFingerprintMismatch`",
        "the fingerprint of the OIDC provider in RAM is an old one",
        "renew the fingerprint of the OIDC provider in RAM of account A",
        "renew the provider's fingerprint",
    ]),
    code(ANY, &["AuthenticationFail.OIDCToken.Invalid"], Node, [
        "`OIDCToken.Invalid`",
        "what stands in the token file is no token of this cluster: cut off, of another signer, or another file altogether",
        "name the projected service-account token in rrsa.tokenFile, and recreate the pod",
        "check rrsa.tokenFile",
    ]),
    code(ANY, &["AuthenticationFail*"], NodeAccount, [
        "`AuthenticationFail...`",
        "STS does not accept the service-account token",
        "check the OIDC provider in RAM of account A and the token that `doctor` shows",
        "check the OIDC provider",
    ]),
    code(ANY, &["InvalidParameter.DurationSeconds"], Node, [
        "`InvalidParameter.DurationSeconds`",
        "expireDuration is outside of what the role allows",
        "lower expireDuration, or raise MaxSessionDuration of {role}",
        "lower expireDuration",
    ]),
    code(ANY, &["InvalidParameter.RoleArn"], Node, [
        "`InvalidParameter.RoleArn`",
        "the ARN of a role is not one that STS can read",
        "correct {role}: rrsaRoleARN or assumeRoleARN, as acs:ram::ACCOUNT:role/NAME",
        "correct the role's ARN",
    ]),
    code(ANY, &["InvalidParameter.RoleSessionName"], Node, [
        "`InvalidParameter.RoleSessionName`",
        "the name of the session, which is made of the node's name, is not accepted",
        "set NODE_NAME to 2 to 32 letters, digits and .@-_",
        "set NODE_NAME to a plain name",
    ]),
    code(ANY, &["InvalidParameter.PolicyGrammar", "InvalidParameter.PolicySize"], Node, [
        "`InvalidParameter.PolicyGrammar`, `InvalidParameter.PolicySize`",
        "the session policy is no RAM policy, or longer than 2048 characters",
        "correct or shorten sessionPolicy, or use pullOnly",
        "correct sessionPolicy",
    ]),
    code(ANY, &["InvalidParameter", "InvalidParameter*"], Node, [
        "`InvalidParameter`, `InvalidParameter...`",
        "a value of the configuration is not accepted",
        "correct the value that the code names; `check` shows what is configured",
        "correct the value that the code names",
    ]),
    code(ANY, &["InvalidAccessKeyId.Inactive", "Forbidden.AccessKeyDisabled"], Node, [
        "`InvalidAccessKeyId.Inactive`, `Forbidden.AccessKeyDisabled`",
        "the AccessKey is disabled",
        "enable the AccessKey again or replace the pair, or move to a role",
        "replace the AccessKey pair",
    ]),
    code(ANY, &["InvalidAccessKeyId.NotFound", "InvalidAccessKeyId*"], Node, [
        "`InvalidAccessKeyId.NotFound`, `InvalidAccessKeyId...`",
        "the AccessKey is unknown or deleted",
        "replace the AccessKey pair, or move to a role",
        "replace the AccessKey pair",
    ]),
    code(ANY, &["InvalidSecurityToken.Malformed", "InvalidSecurityToken.MismatchWithAccessKey"], Node, [
        "`InvalidSecurityToken.Malformed`, `InvalidSecurityToken.MismatchWithAccessKey`",
        "AccessKey and security token are not of one session, as where only one of them was replaced",
        "set ALIBABA_CLOUD_SECURITY_TOKEN together with its AccessKey, where these are configured; else wait: the daemon \
         fetches a new session",
        "key and token must be of one session",
    ]),
    code(ANY, &["InvalidSecurityToken.Expired", "InvalidSecurityToken*"], Cloud, [
        "`InvalidSecurityToken.Expired`, `InvalidSecurityToken...`",
        "a session ended before its time",
        "wait: the daemon fetches a new one; if it goes on, look whether {role} was changed or deleted",
        "a new session is fetched",
    ]),
    code(ANY, &["InvalidTimeStamp.Format"], Network, [
        "`InvalidTimeStamp.Format`",
        "something on the way rewrites the date of requests, which the daemon writes as the API asks for",
        "check that no proxy stands between this node and {host}; if there is none, report it as a defect",
        "check for a proxy on the way",
    ]),
    code(ANY, &["InvalidTimeStamp.Expired", "InvalidTimeStamp*"], Node, [
        "`InvalidTimeStamp.Expired`, `InvalidTimeStamp...`",
        "the node's clock is more than 15 minutes wrong",
        "set the node's clock right (chrony, ntpd)",
        "set the node's clock right",
    ]),
    code(ANY, &["SignatureNonceUsed"], Network, [
        "`SignatureNonceUsed`",
        "the same request came twice: the daemon never repeats one, so something on the way does",
        "check that no proxy which repeats requests stands between this node and {host}",
        "a proxy repeats requests",
    ]),
    code(ANY, &["SignatureDoesNotMatch", "Signature*"], Node, [
        "`SignatureDoesNotMatch`, `Signature...`",
        "AccessKey id and secret do not belong together, or something rewrites requests on the way",
        "check the pair, and that no proxy stands between this node and {host}",
        "check AccessKey id and secret",
    ]),
    code(ANY, &["IncompleteSignature", "InvalidSignatureMethod"], Network, [
        "`IncompleteSignature`, `InvalidSignatureMethod`",
        "something rewrites requests on the way and takes parts of the signature out",
        "check that no proxy stands between this node and {host}",
        "check for a proxy on the way",
    ]),
    code(ANY, &["InvalidVersion", "InvalidAction.NotFound", "InvalidApi.NotFound", "UnsupportedHTTPMethod"], Node, [
        "`InvalidVersion`, `InvalidAction.NotFound`, `InvalidApi.NotFound`, `UnsupportedHTTPMethod`",
        "the endpoint is that of another API of the cloud",
        "correct endpoints.sts or endpoints.cr, or take them out: {host} does not know this call",
        "correct endpoints.sts or endpoints.cr",
    ]),
    code(ANY, &["InvalidProtocol.NeedSsl"], Network, [
        "`InvalidProtocol.NeedSsl`",
        "the call reached the API as plain http, although the daemon makes it with TLS",
        "check what ends TLS between this node and {host}",
        "check what ends TLS on the way",
    ]),
    code(ANY, &["MissingSecurityToken"], Node, [
        "`MissingSecurityToken`",
        "a temporary AccessKey is configured without its security token",
        "configure a key of a RAM user, or ALIBABA_CLOUD_SECURITY_TOKEN with it",
        "add the security token",
    ]),
    code(OF_LOGIN, &["NoPrivilege", "NoPermission"], RegistryAccount, [
        "`NoPrivilege`, `NoPermission` of `GetAuthorizationToken` or `ListInstanceEndpoint`",
        "the last role may not fetch a login or ask for the domains of the instance",
        "allow cr:GetAuthorizationToken, cr:ListInstanceEndpoint and cr:PullRepository on {caller}; `policy` prints it",
        "allow cr:GetAuthorizationToken to the role",
    ]),
    code(ANY, &["INSTANCE_NOT_EXIST"], RegistryAccount, [
        "`INSTANCE_NOT_EXIST`",
        "the instance is not in this region or not in the last role's account",
        "check instanceId and regionId, and that the last role belongs to the instance's account",
        "check instanceId and regionId",
    ]),
    code(ANY, &["NAMESPACE_NOT_EXIST", "REPO_NOT_EXIST"], RegistryAccount, [
        "`NAMESPACE_NOT_EXIST`, `REPO_NOT_EXIST`",
        "there is no such namespace or repository in the instance",
        "check the image name against the repositories of the instance, and instanceId",
        "check image name and instanceId",
    ]),
    code(ANY, &["VSWITCH_NOT_EXIST"], RegistryAccount, [
        "`VSWITCH_NOT_EXIST`",
        "the vSwitch that the VPC access of the instance was made with has been deleted",
        "link the VPC to the instance again in the console, with a vSwitch that is there",
        "link the VPC to the instance again",
    ]),
    code(ANY, &["USER_NOT_EXIST"], RegistryAccount, [
        "`USER_NOT_EXIST`",
        "the Personal Edition was never opened by this user",
        "activate the Personal Edition for this user once in the console",
        "activate the Personal Edition once",
    ]),
];
