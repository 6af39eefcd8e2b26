//! The simulated cloud: STS, Container Registry, metadata service, token realm, registry and OSS of Alibaba Cloud on
//! loopback, for tests, benchmarks and demonstrations of the daemon.
//!
//! It imports nothing of the daemon and verifies what it is given with code of its own, so that a wrong signer in the
//! daemon cannot agree with itself.
//!
//! ```text
//!                      one TLS port, a private CA, names by SNI        one plain port
//!                                        |                                   |
//!   pki  leaf per name  --------->  server/accept                     server/accept
//!   pace round trips, bytes/s --->  server/wire   (also cuts and resets)     |
//!   journal  fault  clock  ------>  server/exchange: read, note, wait, strike, ask, send
//!                                        |  Call -> Answer, plain functions  |
//!        +-----------+-----------+-------+-------+-----------+               |
//!       sts         cr         realm         registry       oss             imds
//!   AssumeRole  Authorization-   login ->    challenge,    presigned     worker role,
//!   (WithOIDC)  Token            bearer      manifests,    URLs, Range   hardened mode
//!        |           |             |         307 ---------->  |
//!        +----- ram::Directory ----+             store  <-----+
//!         accounts, roles, sessions, logins      repositories, manifests, blobs
//! ```
//!
//! A test starts a [`CloudSim`], pushes an [`image::Image`], points the daemon at it with [`CloudSim::node_config`], and
//! asserts on [`CloudSim::journal`]. What goes wrong is scripted with [`fault::Fault`], how far away the cloud is with
//! [`pace::Pace`], what time it is there with [`clock::Clock`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cloudsim::fault::{Effect, Fault};
//! use cloudsim::journal::Service;
//! use cloudsim::{CloudSim, Method, image::Image, ram::setup};
//!
//! let cloud = CloudSim::start().await?;
//! cloud.push(setup::INSTANCE, "team/app", "v1", &Image::random(3, 1 << 20, 7))?;
//! cloud.fault(Fault::on(Service::Oss, Effect::CutAfter(1_000)).once());
//! let yaml = cloud.node_config(Method::WorkerRole);
//! // ... start a daemon with `yaml`, pull, then:
//! assert_eq!(cloud.journal().count_action("AssumeRole"), 1);
//! assert!(cloud.journal().authorizations_at(Service::Oss).is_empty());
//! # Ok(())
//! # }
//! ```

pub mod call;
pub mod clock;
mod cloud;
pub mod cr;
mod date;
pub mod fault;
mod generation;
mod hash;
pub mod image;
pub mod imds;
mod issue;
pub mod journal;
pub mod jwt;
mod ledger;
mod node_config;
mod openapi;
mod oss;
pub mod pace;
mod pki;
pub mod ram;
mod realm;
mod registry;
mod server;
pub mod settings;
mod shared;
mod sign;
mod store;
pub mod sts;
#[cfg(test)]
mod testing;

pub use cloud::{CloudSim, CloudSimBuilder, StartError, UnknownInstance};
pub use node_config::Method;
pub use pki::PkiError;
pub use store::Manifest;
