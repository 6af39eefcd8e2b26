//! What stops a call of the role chain without an error code: the first credential, the network, the cloud itself.

use super::{UNKNOWN, sign};
use crate::error::Blame::{Cloud, Network, Node, NodeAccount};
use crate::error::diagnosis::{Row, Sign};

#[rustfmt::skip]
pub(super) const CHAIN: &[Row] = &[
    sign(Sign::Throttled, Cloud, [
        "`throttled`: `Throttling`, `Throttling.User`, `Throttling.Api`, a bare 302 or 429 of an API",
        "the account's limit of calls is reached (STS: 100 a second for the whole account)",
        "wait: the daemon tries again by itself; if it goes on, look who else calls",
        "the daemon tries again",
    ]),
    sign(Sign::CloudFailed, Cloud, [
        "status 5xx of an API: `InternalError`, `SystemError`, `ServiceUnavailable`, `ServiceUnavailableTemporary`",
        "a failure inside the cloud",
        "wait: the daemon tries again by itself; if it goes on, open a ticket with the request id",
        "the daemon tries again",
    ]),
    *UNKNOWN,
    sign(Sign::CloudUnreadable, Cloud, [
        "an answer that cannot be read",
        "something else than the API answered, such as a proxy's page",
        "check what answers at {host} from this node; open a ticket if it is the API",
        "check what answers there",
    ]),
    sign(Sign::CallImpossible, Node, [
        "`the region is not known`",
        "neither the configuration nor the metadata service names it",
        "set regionId of the instance",
        "set regionId of the instance",
    ]),
    sign(Sign::TokenFile, Node, [
        "`the token file cannot be read`",
        "the service-account token is not mounted, cannot be read by this user, or another file is named",
        "mount a projected serviceAccountToken with `audience: sts.aliyuncs.com` and name it in rrsa.tokenFile",
        "mount it, or correct rrsa.tokenFile",
    ]),
    sign(Sign::TokenIssuer, Node, [
        "`doctor`: issuer of the token",
        "the pod is older than RRSA on this cluster, or the provider belongs to another cluster",
        "recreate the pod; if that does not help, correct rrsaOIDCProviderRoleARN",
        "recreate the pod",
    ]),
    sign(Sign::TokenAudience, Node, [
        "`doctor`: audience of the token",
        "the service-account token is for another audience, as Kubernetes' own tokens are",
        "project the service-account token with `audience: sts.aliyuncs.com`",
        "audience: sts.aliyuncs.com",
    ]),
    sign(Sign::TokenExpired, Node, [
        "`doctor`: expiry of the token",
        "the token file is no longer renewed, or the clock is wrong",
        "mount it as a projected volume, so that kubelet renews it, and not by subPath; check the clock",
        "kubelet must renew the token file",
    ]),
    sign(Sign::TokenSubject, NodeAccount, [
        "`doctor`: subject of the token",
        "the token is not one of a service account, so that no usual trust policy fits",
        "let the trust policy of {role} name this very subject in oidc:sub, or run with a service account",
        "check oidc:sub in A's trust policy",
    ]),
    sign(Sign::CredentialsInvalid, Node, [
        "`cannot be used` of a key file, profile or metadata",
        "a source of credentials is there, but what it holds is not complete",
        "correct the file or field that is named",
        "correct what is named",
    ]),
    sign(Sign::NoCredentials, Node, [
        "`no source of a first credential is configured`",
        "neither RRSA nor a RAM role nor a key is there",
        "set rrsaRoleARN, attach a RAM role to the node, or set customAccessKeyFile",
        "set rrsaRoleARN or attach a RAM role",
    ]),
    sign(Sign::NameUnknown, Network, [
        "`cannot resolve` a host",
        "DNS does not know the name: a VPC name needs the instance to be linked to this VPC, or a host override",
        "link this VPC to the instance in the console, or set network.hosts for {host}",
        "link the VPC, or set network.hosts",
    ]),
    sign(Sign::NameServerSilent, Network, [
        "`no name server answers` for a host",
        "the name servers of the node do not answer in time: they are down, or a firewall drops what is asked of them",
        "check the name servers in /etc/resolv.conf and the way to their port 53, or set network.hosts for {host}",
        "check the name servers, or set network.hosts",
    ]),
    sign(Sign::AddressForbidden, Network, [
        "`refused to connect to` a host",
        "DNS or /etc/hosts leads its name to this node, its link or the metadata service: a wrong entry, or an attack",
        "correct what {host} resolves to; if it is meant so, name the address in network.hosts",
        "correct the name, or set network.hosts",
    ]),
    sign(Sign::NoConnection, Network, [
        "`cannot connect to` a host",
        "there is no route, or a firewall or an access list refuses",
        "check route, security group and the instance's access list for {host} from this node, or set network.hosts",
        "check route and access list",
    ]),
    sign(Sign::Certificate, Network, [
        "`certificate` of a host is not accepted",
        "something between this node and the cloud presents a certificate of its own, or an override names a wrong host",
        "set network.caFile to the CA that signed the certificate of {host}, if it is yours",
        "set network.caFile if it is yours",
    ]),
    sign(Sign::Closed, Network, [
        "`connection closed without an answer`",
        "a firewall or proxy on the way closed the connection",
        "check what stands between this node and {host}",
        "check firewalls on the way",
    ]),
    sign(Sign::Silence, Network, [
        "`no answer within`",
        "packets are lost on the way, often at a firewall or an MTU that is too large",
        "check route, firewall and MTU towards {host}",
        "check route, firewall and MTU",
    ]),
];
