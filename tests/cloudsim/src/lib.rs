//! The simulated cloud (essay to come).

mod body;
pub mod call;
pub mod clock;
pub mod fault;
pub mod journal;
mod ledger;
mod oss;
pub mod pace;
mod pki;
mod random;
pub mod settings;
pub mod store;
mod wire;
