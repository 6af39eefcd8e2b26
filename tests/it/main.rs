//! The integration tests, one binary: linked once, one place for what they share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app;
mod architecture;
mod cli;
mod serve;
mod support;
