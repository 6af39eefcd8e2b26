//! The simulated cloud (essay to come).

mod body;
pub mod call;
pub mod clock;
pub mod fault;
mod generation;
pub mod image;
pub mod journal;
pub mod jwt;
mod ledger;
mod oss;
pub mod pace;
mod pki;
mod random;
mod realm;
mod registry;
pub mod settings;
mod shared;
pub mod store;
mod wire;
