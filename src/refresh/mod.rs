//! Credentials and tokens that expire, and the one cell that keeps each of them fresh.
//!
//! Providers never cache and callers never time anything: a provider implements [`Load`], callers ask a
//! [`RefreshCell`]. Nothing here knows what it holds or whom it asks.

mod cell;
mod expiring;
mod load;
mod policy;

pub use cell::RefreshCell;
pub use expiring::Expiring;
pub use load::{Interrupted, Load, Renewal, Status};
pub(crate) use policy::START_SPREAD;
pub use policy::{Jitter, Policy};
