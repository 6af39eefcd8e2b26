//! The integration tests, one binary: linked once, one place for what they share. The daemon runs as people run it, in
//! front of the simulated cloud.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod app;
mod architecture;
mod bad_input;
mod chain;
mod cli;
mod containerd;
mod data_path;
mod image;
mod manifests;
mod oci_client;
mod rolling;
mod serve;
mod support;
mod systemd;
