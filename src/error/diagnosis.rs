//! What every failure means to the person who has to act: who that is, the likely cause, and the fix.
//!
//! One table ([`rows()`]) for all of it. Errors pick their row, and so advice on the status page, in the log, in `doctor`, in
//! the event of a pod and in the documentation is one text. It holds words only: nothing here looks at an error.

mod rows;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::Blame;
pub use rows::rows;

/// One failure and what to do about it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// How it is recognised.
    pub key: Key,
    /// What a person sees, as a heading for documentation.
    pub seen: &'static str,
    /// Who has to act.
    pub who: Blame,
    /// The likely cause, as a sentence without a full stop.
    pub cause: &'static str,
    /// What to do, imperative, without a full stop. May hold names in braces, see [`Names`].
    pub fix: &'static str,
    /// The same for the event of a pod, where there is room for [`LONGEST_HINT`] characters.
    pub hint: &'static str,
}

/// Most characters of [`Row::hint`]: the reason phrase of an answer has 100 in all (clients cut or hide more).
pub const LONGEST_HINT: usize = 44;

/// How a failure is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// By an error code of one of the cloud's APIs.
    Code {
        /// The names of the APIs, such as `AssumeRole`; empty: whichever.
        actions: &'static [&'static str],
        /// The codes; one with `*` at its end stands for all that begin so.
        codes: &'static [&'static str],
    },
    /// By what the daemon saw itself.
    Sign(Sign),
}

/// In place of `AssumeRole` where the role belongs to an account before that of the registry.
pub const BEFORE_REGISTRY: &str = "AssumeRole before the registry's account";

/// The name of the bucket among the APIs.
pub const BUCKET: &str = "OSS";

macro_rules! signs {
    ($($(#[$doc:meta])* $sign:ident,)+) => {
        /// A failure that no error code of the cloud names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Sign { $($(#[$doc])* $sign,)+ }

        impl Sign {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$sign,)+];
        }
    };
}

signs! {
    /// A call was throttled.
    Throttled,
    /// The cloud had a failure of its own.
    CloudFailed,
    /// An error code that is in no documentation.
    UnknownCode,
    /// An answer of the cloud that is not what is documented.
    CloudUnreadable,
    /// A call that could not be made, since something it needs is not configured.
    CallImpossible,
    /// The service-account token cannot be read.
    TokenFile,
    /// The token's issuer is not the one of the configured provider.
    TokenIssuer,
    /// The token is for somebody else than STS.
    TokenAudience,
    /// The token is too old.
    TokenExpired,
    /// The token belongs to another service account than is expected.
    TokenSubject,
    /// A key file, profile or similar cannot be used.
    CredentialsInvalid,
    /// No first credential is configured.
    NoCredentials,
    /// A name does not resolve.
    NameUnknown,
    /// Nobody answers for a name.
    NameServerSilent,
    /// A name leads to this node, its link or the metadata service.
    AddressForbidden,
    /// No TCP and TLS connection.
    NoConnection,
    /// A certificate is not trusted.
    Certificate,
    /// A connection was closed without an answer.
    Closed,
    /// No answer in time.
    Silence,
    /// The registry sends no challenge.
    NoChallenge,
    /// The challenge names a realm that must not get the login.
    RealmForeign,
    /// The registry's challenge changed.
    ChallengeChanged,
    /// The realm refuses the login.
    LoginRefused,
    /// The realm gives no token.
    RealmFailed,
    /// The bearer may not pull.
    NotPermitted,
    /// The registry refuses every bearer.
    BearerRefused,
    /// The registry denies the pull.
    PullDenied,
    /// There is no such repository, tag or blob.
    NotFound,
    /// The configuration does not allow the repository.
    NotAllowed,
    /// The registry refuses the request.
    RequestRefused,
    /// The registry throttles.
    RegistryThrottled,
    /// The registry or the bucket fails.
    RegistryFailed,
    /// The redirect leads to a host that is not allowed.
    RedirectForeign,
    /// The bucket refuses a fresh URL.
    BucketRefused,
    /// An answer of the registry that breaks the protocol.
    RegistryUnreadable,
    /// What reached a client is not what its digest says.
    WrongBytes,
    /// A body broke off on its way to a client.
    BodyCut,
    /// The daemon ends.
    Interrupted,
    /// The node's clock is wrong.
    ClockSkew,
    /// The daemon does not answer.
    DaemonSilent,
    /// The daemon answers, and no TLS comes about with it.
    DaemonTls,
    /// A caller does not know the client token.
    ClientToken,
    /// The daemon answers and has no login.
    DaemonNotReady,
    /// The daemon does not serve a domain that is configured.
    DomainNotServed,
    /// The daemon refused a newer configuration.
    ReloadRefused,
    /// containerd runs without its CRI plugin.
    CriDisabled,
    /// containerd has no `config_path`.
    NoConfigPath,
    /// containerd takes several directories for one.
    JoinedConfigPath,
    /// containerd does not load its CRI plugin with both kinds of settings.
    LegacyRegistry,
    /// The directory of `hosts.toml` files is rewritten at each start.
    Rewritten,
    /// A file of containerd's configuration is newer than the containerd that runs.
    ContainerdNotRestarted,
    /// Our entry does not stand in a `hosts.toml`.
    HostsEntry,
    /// Pulls do not reach the daemon.
    PullsElsewhere,
}

/// Names for the braces of a fix; what is `None` is put in general words.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names<'a> {
    /// `{role}`: the ARN of the role that was asked for.
    pub role: Option<&'a str>,
    /// `{caller}`: whoever asked for it.
    pub caller: Option<&'a str>,
    /// `{host}`: the host that was asked.
    pub host: Option<&'a str>,
    /// `{repository}`.
    pub repository: Option<&'a str>,
}

impl Row {
    /// The row of an error code of the cloud.
    #[must_use]
    pub fn of_code(action: &str, code: &str) -> &'static Self {
        Self::listed(action, code).unwrap_or_else(|| Self::of(Sign::UnknownCode))
    }

    /// The row of an error code of a bucket, which has refused a URL that had just been signed.
    #[must_use]
    pub fn of_bucket(code: &str) -> &'static Self {
        let found = Self::listed(BUCKET, code).filter(|row| matches!(row.key, Key::Code { actions: [BUCKET], .. }));
        found.unwrap_or_else(|| Self::of(Sign::BucketRefused))
    }

    /// Of all rows with this code, one of this very API before one of any.
    fn listed(action: &str, code: &str) -> Option<&'static Self> {
        let fits = |known: &str| known.strip_suffix('*').map_or(code == known, |beginning| code.starts_with(beginning));
        let of = |wanted: fn(&[&str], &str) -> bool| {
            rows().find(|row| match row.key {
                Key::Code { actions, codes } => wanted(actions, action) && codes.iter().any(|known| fits(known)),
                Key::Sign(_) => false,
            })
        };
        of(|actions, action| actions.contains(&action)).or_else(|| of(|actions, _| actions.is_empty()))
    }

    /// The row of a failure that the daemon saw itself.
    #[must_use]
    pub fn of(sign: Sign) -> &'static Self {
        // Every sign has a row, which the tests below hold.
        rows().find(|row| row.key == Key::Sign(sign)).unwrap_or(rows::UNKNOWN)
    }

    /// The fix with names in place of the braces.
    #[must_use]
    pub fn fix(&self, names: &Names<'_>) -> Cow<'static, str> {
        let fields = [
            ("{role}", names.role, "the role"),
            ("{caller}", names.caller, "the caller"),
            ("{host}", names.host, "the host"),
            ("{repository}", names.repository, "the repository"),
        ];
        fields.into_iter().fold(Cow::Borrowed(self.fix), |text, (field, name, general)| {
            if text.contains(field) { Cow::Owned(text.replace(field, name.unwrap_or(general))) } else { text }
        })
    }
}

/// The table as Markdown, for the documentation.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| what you see | who acts | likely cause | what to do |\n|---|---|---|---|\n".to_owned();
    for row in rows() {
        let fix = row.fix(&Names::default());
        text.push_str(&format!("| {} | {} | {} | {fix} |\n", row.seen, row.who, row.cause));
    }
    text
}
