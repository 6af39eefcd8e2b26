//! The APIs of Alibaba Cloud that the daemon calls, exact to the page that documents them.
//!
//! Calls are signed, sent once and read; nothing is cached and nothing is retried later, that is the business of those
//! who hold the answers. Times leave this module as `Timestamp` only, whatever form they came in.

pub mod acs3;
mod answer;
mod call;
mod cr;
mod credentials;
mod encode;
pub mod endpoints;
mod error;
mod imds;
#[cfg(any(test, fuzzing))]
pub(crate) mod invariants;
pub mod roa_v1;
pub mod rpc_v1;
mod sign;
mod skew;
mod sts;
mod time;
#[cfg(test)]
mod vectors;
mod verdict;

use std::sync::Arc;

pub use cr::{AuthorizationToken, Cr};
pub use credentials::Credentials;
pub use endpoints::Endpoints;
pub use error::CloudError;
pub use imds::Imds;
pub use sign::SignatureScheme;
pub use skew::CloudClock;
pub use sts::{SessionRequest, Sts};

pub(crate) use answer::asked_pause;
pub(crate) use time::http_date;
pub(crate) use verdict::THROTTLED_PAUSE;

use call::Caller;
use endpoints::Region;

use crate::http::client::Client;
use crate::telemetry::metrics::InstanceMetrics;

/// All services of the cloud as one instance asks them.
#[derive(Debug)]
pub struct Cloud {
    /// Security Token Service.
    pub sts: Sts,
    /// Container Registry.
    pub cr: Cr,
    /// The metadata service of the node.
    pub imds: Arc<Imds>,
    /// Where they are.
    pub endpoints: Arc<Endpoints>,
    /// The time by which all of them judge.
    pub clock: Arc<CloudClock>,
}

impl Cloud {
    /// The services as an instance in `region` needs them. Nothing is asked yet.
    #[must_use]
    pub fn new(
        params: endpoints::Params,
        region: Option<Region>,
        client: Client,
        clock: Arc<CloudClock>,
        metrics: Arc<InstanceMetrics>,
    ) -> Self {
        Self::signing_with(SignatureScheme::default(), params, region, client, clock, metrics)
    }

    /// The same with a signature scheme of the caller's choice.
    #[must_use]
    pub fn signing_with(
        scheme: SignatureScheme,
        params: endpoints::Params,
        region: Option<Region>,
        client: Client,
        clock: Arc<CloudClock>,
        metrics: Arc<InstanceMetrics>,
    ) -> Self {
        let caller = Arc::new(Caller { client, clock: Arc::clone(&clock), metrics, scheme });
        let imds = Arc::new(Imds::new(Arc::clone(&caller), params.metadata.as_deref()));
        let endpoints = Arc::new(Endpoints::new(params, Arc::clone(&imds)));
        Self {
            sts: Sts::new(Arc::clone(&caller), Arc::clone(&endpoints)),
            cr: Cr::new(caller, Arc::clone(&endpoints), region),
            imds,
            endpoints,
            clock,
        }
    }
}
