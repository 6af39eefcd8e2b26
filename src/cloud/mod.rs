//! The APIs of Alibaba Cloud that the daemon calls, exact to the page that documents them.

pub mod acs3;
mod credentials;
mod encode;
pub mod endpoints;
mod oss;
pub mod roa_v1;
pub mod rpc_v1;
mod time;
#[cfg(test)]
mod vectors;

pub use credentials::Credentials;
pub use oss::oss_expiry;
