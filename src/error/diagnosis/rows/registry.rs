//! What stops a pull behind the role chain: the registry, the bucket, and this node.

use super::sign;
use crate::error::Blame::{Client, Cloud, Network, Node, RegistryAccount};
use crate::error::diagnosis::{Row, Sign};

#[rustfmt::skip]
pub(super) const REGISTRY: &[Row] = &[
    sign(Sign::NoChallenge, Cloud, [
        "`answers ... and no challenge`",
        "something else than the registry answers at its name",
        "check `domains`, and what {host} resolves to on this node",
        "check what answers there",
    ]),
    sign(Sign::RealmForeign, Node, [
        "`the realm ... is not known to belong to the registry`",
        "the registry names a host for the login that is on no list",
        "if the host is yours, name it in network.realms; if not, somebody wants your login",
        "name it in network.realms if it is yours",
    ]),
    sign(Sign::ChallengeChanged, Cloud, [
        "`the registry changed its challenge`",
        "the instance moved its authentication domain",
        "wait: the daemon has read the new one",
        "the daemon reads the new one",
    ]),
    sign(Sign::LoginRefused, Cloud, [
        "`refuses the login`",
        "the session behind the login was ended, as by a change of its role",
        "wait a minute; if it goes on, check that instanceId and domains belong to one instance",
        "check that instanceId fits the domain",
    ]),
    sign(Sign::RealmFailed, Cloud, [
        "`answers ... and no token`",
        "the token realm has a failure, or the instance's access list refuses this node",
        "add this node's address to the access list of the instance's public endpoint, or use the VPC domain",
        "check the instance's access list",
    ]),
    sign(Sign::NotPermitted, RegistryAccount, [
        "`the role lacks cr:PullRepository, or there is no ...`",
        "the login may not pull; also a public repository needs the right",
        "allow cr:PullRepository to the last role, also in sessionPolicy, and check that {repository} exists",
        "allow it to the last role",
    ]),
    sign(Sign::BearerRefused, RegistryAccount, [
        "`the registry refuses the bearer`",
        "the instance does not accept what its own realm issued",
        "check the rights of the last role and the instance's access control",
        "check the rights of the last role",
    ]),
    sign(Sign::PullDenied, RegistryAccount, [
        "`the registry denies the pull`",
        "the last role may not pull this repository, or the access list refuses this node",
        "allow cr:PullRepository to the last role, and check the access list of the instance",
        "allow cr:PullRepository to the last role",
    ]),
    sign(Sign::NotFound, Client, [
        "`not found in the registry`",
        "there is no such repository, tag or digest in the instance",
        "check the image name, and that the image was pushed",
        "check the image name",
    ]),
    sign(Sign::NotAllowed, Node, [
        "`is not in the list of allowed repositories`",
        "`repositories` of the instance does not cover it",
        "add {repository} to `repositories` of the instance",
        "add it to repositories",
    ]),
    sign(Sign::RequestRefused, Client, [
        "`the registry answered` 4xx",
        "the registry does not take this request",
        "check the image name and the client",
        "check the image name",
    ]),
    sign(Sign::RegistryThrottled, Cloud, [
        "`throttled by` a registry",
        "the instance's limit of requests is reached",
        "wait: the client tries again; if it goes on, spread the start of pods or raise the edition",
        "the client tries again",
    ]),
    sign(Sign::RegistryFailed, Cloud, [
        "`status 5xx from` a registry or bucket, also as `SlowDown`",
        "a failure inside the cloud",
        "wait: the client tries again; if it goes on, open a ticket with the request id",
        "the client tries again",
    ]),
    sign(Sign::RedirectForeign, Node, [
        "`redirect refused`",
        "the registry sends the client to a host that bytes may not come from",
        "add {host} to network.blobHosts if it is yours",
        "add it to network.blobHosts if it is yours",
    ]),
    sign(Sign::BucketRefused, Cloud, [
        "`the bucket refused a fresh URL`",
        "something rewrites requests on the way, or OSS has a failure",
        "check that no proxy stands between this node and {host}, and the clock; then open a ticket with the request id",
        "check for a proxy on the way",
    ]),
    sign(Sign::RegistryUnreadable, Cloud, [
        "`unusable answer`, `unusable redirect`, `the manifest could not be read`",
        "the registry breaks the protocol, or something on the way changes its answers",
        "check what answers at {host} from this node; open a ticket if it is the registry",
        "check what answers there",
    ]),
    sign(Sign::WrongBytes, Network, [
        "`pull`: `Invalid digest`",
        "the bytes that came are not those of the digest, which the daemon passes on as they are: the bucket, a blob proxy \
         or something else on the way has other ones",
        "pull again; if it goes on, take network.blobProxy out where it is set, and push the image again",
        "pull again, then check network.blobProxy",
    ]),
    sign(Sign::BodyCut, Network, [
        "`pull`: a body broke off",
        "the connection to the bucket broke and could not be continued in time, or the daemon ended",
        "pull again; if it goes on, look at the daemon's log for the digest, and at the route and MTU towards the bucket",
        "look at the daemon's log",
    ]),
    sign(Sign::Interrupted, Node, [
        "`the daemon is ending`",
        "the daemon was told to end",
        "wait until it runs again",
        "wait until it runs again",
    ]),
    sign(Sign::ClockSkew, Node, [
        "`doctor`: clock",
        "the node's clock differs from the cloud's; the daemon corrects for it, other programs do not",
        "set the node's clock right (chrony, ntpd)",
        "set the node's clock right",
    ]),
    sign(Sign::DaemonSilent, Node, [
        "`doctor`: the daemon does not answer",
        "it does not run, or listens elsewhere",
        "start it (systemctl start acr-pull-proxy, or look at its pod), and check `listen` and `admin`",
        "start it",
    ]),
    sign(Sign::DaemonTls, Node, [
        "`doctor`: no TLS with the daemon",
        "its certificate is of an issuer that this system does not know, for other names or out of date, or the daemon \
         runs with another configuration and speaks no TLS",
        "name the certificate of its issuer in tls.caFile, renew it with 127.0.0.1 among its names, or reload the daemon",
        "check tls.caFile",
    ]),
    sign(Sign::ClientToken, Node, [
        "`no client token was sent`, `the client token is wrong`, `the daemon has no client token yet`",
        "`clientAuth` is set, and the caller does not send the token in its file",
        "run `acr-pull-proxy hosts install` on the node, which makes the token and writes it into hosts.toml; send it as Authorization: Bearer from elsewhere",
        "run hosts install on the node",
    ]),
    sign(Sign::DaemonNotReady, Node, [
        "`doctor`: the daemon is not ready",
        "an instance has no login in the running daemon",
        "look at lastError on its status page; if `doctor` succeeds where it fails, restart it",
        "look at its status page",
    ]),
    sign(Sign::DomainNotServed, Node, [
        "`doctor`: the daemon does not serve a domain",
        "the daemon runs with another configuration",
        "reload it (SIGHUP), or name its configuration with --config",
        "reload it",
    ]),
    sign(Sign::ReloadRefused, Node, [
        "`doctor`: a newer configuration is refused",
        "the file was changed and cannot be used, so that the daemon goes on with the one before it",
        "correct what is named; `check` says all of it at once",
        "correct the configuration",
    ]),
    sign(Sign::CriDisabled, Node, [
        "`doctor`: containerd runs without its CRI plugin",
        "\"cri\" is in disabled_plugins, as Docker's packages ship it",
        "take \"cri\" out of disabled_plugins in containerd's config.toml and restart containerd",
        "take cri out of disabled_plugins",
    ]),
    sign(Sign::NoConfigPath, Node, [
        "`doctor`: containerd has no config_path",
        "containerd before 2.2 reads no hosts.toml unless it is told where they are, and later ones neither beside \
         registry.mirrors",
        "set config_path to /etc/containerd/certs.d in containerd's config.toml and restart containerd",
        "set config_path of containerd",
    ]),
    sign(Sign::JoinedConfigPath, Node, [
        "`doctor`: config_path names several directories",
        "containerd 2.1 and later take the list for one name when they pull through the transfer service",
        "name one directory in config_path, or set use_local_image_pull = true, and restart containerd",
        "name one directory in config_path",
    ]),
    sign(Sign::LegacyRegistry, Node, [
        "`doctor`: config_path together with registry.mirrors",
        "containerd does not load its CRI plugin with both, so that the node becomes NotReady",
        "write the old mirrors as hosts.toml files, take them out of config.toml, and restart containerd",
        "move registry.mirrors to hosts.toml",
    ]),
    sign(Sign::Rewritten, Node, [
        "`doctor`: k3s or rke2 writes the directory at each start",
        "these distributions generate hosts.toml from their own file",
        "put the mirror into /etc/rancher/*/registries.yaml, which `doctor` prints, and restart the distribution",
        "use registries.yaml",
    ]),
    sign(Sign::ContainerdNotRestarted, Node, [
        "`doctor`: containerd was not restarted",
        "its configuration was changed after its start, and it reads that only then; a hosts.toml it reads at every pull",
        "restart containerd (systemctl restart containerd); containers go on running",
        "restart containerd",
    ]),
    sign(Sign::HostsEntry, Node, [
        "`doctor`: a domain is not sent to the daemon",
        "our entry is not in its hosts.toml, was changed by hand, or containerd finds another file first",
        "run `acr-pull-proxy hosts install`, which changes nothing but our own entry; with --force also where that was \
         changed by hand",
        "run hosts install",
    ]),
    sign(Sign::PullsElsewhere, Node, [
        "`doctor`: the request did not reach the daemon",
        "another program answers at `listen`",
        "find it with `ss -ltnp`, and give one of them another port",
        "find who listens there",
    ]),
];
