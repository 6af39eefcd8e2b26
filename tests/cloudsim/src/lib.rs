//! The simulated cloud (essay to come).

pub mod call;
pub mod clock;
pub mod cr;
mod date;
pub mod fault;
mod generation;
pub mod image;
pub mod imds;
mod issue;
pub mod journal;
pub mod jwt;
mod ledger;
mod openapi;
mod oss;
pub mod pace;
mod pki;
pub mod ram;
mod random;
mod realm;
mod registry;
mod server;
pub mod settings;
mod shared;
mod sign;
pub mod store;
pub mod sts;
