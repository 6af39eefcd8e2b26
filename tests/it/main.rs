//! The integration tests, one binary: linked once, one place for what they share. The daemon runs as people run it, in
//! front of the simulated cloud.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app;
mod architecture;
mod bad_input;
mod chain;
mod cli;
mod containerd;
mod convert;
mod data_path;
mod doctor;
mod messages;
mod oci_client;
mod policy;
mod pull;
mod secrets;
mod serve;
mod support;
mod tokens;
