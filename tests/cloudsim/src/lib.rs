//! The simulated cloud: STS, Container Registry, metadata service, token realm, registry and OSS of Alibaba Cloud on
//! loopback, for tests, benchmarks and demonstrations of the daemon.
//!
//! It imports nothing of the daemon and verifies what it is given with code of its own, so that a wrong signer in the
//! daemon cannot agree with itself.

pub mod call;
pub mod cr;
mod date;
pub mod imds;
mod issue;
pub mod jwt;
mod openapi;
pub mod ram;
mod sign;
pub mod sts;
#[cfg(test)]
mod testing;
