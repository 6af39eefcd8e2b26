//! How the realm, the registry and the blob URLs behave: what differs between regions, editions and years.
//!
//! The defaults are those of an Enterprise Edition instance as captured most recently. Where the real behaviour is not
//! confirmed, a switch lets a test ask for either.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::SignedDuration;

/// Lifetime of a registry bearer in every capture: `exp` is `iat` plus ten minutes.
const BEARER_LIFETIME: SignedDuration = SignedDuration::from_secs(600);

/// Lifetime of a blob URL in every capture: `Expires` is the answer's `Date` plus twenty minutes.
const BLOB_URL_LIFETIME: SignedDuration = SignedDuration::from_secs(1_200);

/// Where the challenge sends a client for its bearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RealmHost {
    /// `dockerauth.<region>` for public domains, `dockerauth-vpc.<region>` for VPC domains.
    Standard,
    /// `dockerauth-ee.<region>` and `dockerauth-ee-vpc.<region>`.
    Enterprise,
    /// `dockerauth-<region>`: a hyphen where the others have a dot.
    Hyphen,
    /// `dockerauth.aliyuncs.com`, as in the oldest captures.
    Legacy,
    /// The registry's own host, as after an instance took over the authentication domain.
    RegistryItself,
    /// This realm URL, word for word; it may be hostile. It is answered here as if it were a real realm.
    Url(String),
}

/// What a good login gets from the realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealmSettings {
    /// Where the realm is.
    pub host: RealmHost,
    /// Whether the answer says `expires_in` and `issued_at`; old captures have only `token` and `access_token`.
    pub says_expiry: bool,
    /// How long a bearer lives.
    pub bearer_lifetime: SignedDuration,
}

/// Which signature a blob URL carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UrlSignature {
    /// `Expires`, `OSSAccessKeyId`, `Signature`: seen at ACR.
    V1,
    /// `x-oss-signature-version=OSS4-HMAC-SHA256` and companions.
    V4,
}

/// What the registry's redirect for a blob looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobUrlSettings {
    /// Whether `Location` says `http://`, as Personal Edition does.
    pub plain_http: bool,
    /// The signature.
    pub signature: UrlSignature,
    /// How long the URL is good for.
    pub lifetime: SignedDuration,
    /// `x-oss-traffic-limit` in bit/s; OSS accepts 819,200 to 838,860,800.
    pub traffic_limit: Option<u64>,
    /// Blobs of at most this many bytes are answered 200 by the registry itself.
    pub direct_up_to: u64,
}

/// All switches of one simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The realm.
    pub realm: RealmSettings,
    /// The redirects.
    pub blob_url: BlobUrlSettings,
    /// Whether the referrers API exists; ACR is expected to answer 404.
    pub referrers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            realm: RealmSettings { host: RealmHost::Standard, says_expiry: false, bearer_lifetime: BEARER_LIFETIME },
            blob_url: BlobUrlSettings {
                plain_http: false,
                signature: UrlSignature::V1,
                lifetime: BLOB_URL_LIFETIME,
                traffic_limit: None,
                direct_up_to: 0,
            },
            referrers: false,
        }
    }
}

/// A shared handle on the settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedSettings(Arc<RwLock<Arc<Settings>>>);

impl SharedSettings {
    pub(crate) fn now(&self) -> Arc<Settings> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Settings)) {
        let mut shared = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut shared));
    }
}
