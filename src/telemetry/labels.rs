//! The closed sets that metric labels are taken from (contract section 5).

/// Gives a set its words, in an order that also numbers its members.
macro_rules! words {
    ($set:ident { $($member:ident => $word:literal),+ $(,)? }) => {
        impl $set {
            /// All members, in order.
            pub const ALL: &'static [Self] = &[$(Self::$member),+];

            /// The word in labels, on the status page and in logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$member => $word),+
                }
            }

            /// The place in [`Self::ALL`].
            pub(super) const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// A step of the role chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hop {
    /// AssumeRoleWithOIDC.
    Oidc,
    /// The metadata service, and every other source of a first credential that is not a role.
    Metadata,
    /// AssumeRole.
    AssumeRole,
    /// GetAuthorizationToken.
    AuthorizationToken,
    /// The registry bearer of one scope.
    Bearer,
}

words!(Hop {
    Oidc => "oidc",
    Metadata => "metadata",
    AssumeRole => "assume_role",
    AuthorizationToken => "authorization_token",
    Bearer => "bearer",
});

/// Whom the daemon asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The registry of the instance.
    Registry,
    /// The token realm.
    Auth,
    /// The bucket.
    Oss,
    /// The Security Token Service.
    Sts,
    /// The Container Registry API.
    Cr,
    /// The metadata service of the node.
    Metadata,
}

words!(Target {
    Registry => "registry",
    Auth => "auth",
    Oss => "oss",
    Sts => "sts",
    Cr => "cr",
    Metadata => "metadata",
});

/// What a request to the daemon is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A manifest, by tag or digest.
    Manifest,
    /// A blob.
    Blob,
    /// `/v2/`.
    Ping,
    /// The list of tags.
    Tags,
    /// The list of referrers.
    Referrers,
}

words!(Kind {
    Manifest => "manifest",
    Blob => "blob",
    Ping => "ping",
    Tags => "tags",
    Referrers => "referrers",
});

/// The two methods of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// With the body.
    Get,
    /// Without.
    Head,
}

words!(Method {
    Get => "GET",
    Head => "HEAD",
});

/// The class of a response status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusClass {
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx, and whatever has no class.
    ServerError,
}

words!(StatusClass {
    Success => "2xx",
    Redirection => "3xx",
    ClientError => "4xx",
    ServerError => "5xx",
});

impl StatusClass {
    /// The class of a status code.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it was for.
    Ok,
    /// The other side refused (4xx).
    Refused,
    /// The other side failed, throttled or could not be reached.
    Failed,
}

words!(Outcome {
    Ok => "ok",
    Refused => "refused",
    Failed => "failed",
});

/// How a token was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CacheResult {
    /// It was there.
    Hit,
    /// It had to be fetched, by this caller.
    Miss,
    /// Another caller was already fetching it.
    Shared,
}

words!(CacheResult {
    Hit => "hit",
    Miss => "miss",
    Shared => "shared",
});

#[cfg(test)]
mod tests {
    use super::{Hop, StatusClass};

    #[test]
    fn members_are_numbered_in_the_order_of_their_list() {
        for (index, hop) in Hop::ALL.iter().enumerate() {
            assert_eq!(hop.index(), index);
        }
    }

    #[test]
    fn a_status_without_a_class_counts_as_the_worst() {
        assert_eq!(StatusClass::of(206), StatusClass::Success);
        assert_eq!(StatusClass::of(999), StatusClass::ServerError);
    }
}
