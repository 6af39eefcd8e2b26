//! A per-node registry mirror for containerd that pulls from Alibaba Cloud Container Registry instances of other
//! accounts.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod credentials;
pub mod error;
pub mod http;
pub mod oci;
pub mod proxy;
pub mod refresh;
pub mod secret;
pub mod telemetry;
pub mod token;
pub mod upstream;
