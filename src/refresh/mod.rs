//! Credentials and tokens that expire, and the one cell that keeps each of them fresh.
//!
//! Providers never cache and callers never time anything: a provider implements [`Load`], callers ask a
//! [`RefreshCell`]. Nothing here knows what it holds or whom it asks.

mod cell;
mod expiring;
mod policy;

pub use cell::{Interrupted, Load, RefreshCell, Renewal, Status};
pub use expiring::Expiring;
pub use policy::{Jitter, Policy};
