//! The integration tests, one binary: linked once, one place for what they share.

mod architecture;
mod cli;
