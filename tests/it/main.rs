//! The integration tests, one binary: linked once, one place for what they share. The daemon runs as people run it, in
//! front of the simulated cloud.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alerts;
mod app;
mod architecture;
mod bad_input;
mod blob_proxy;
mod callers;
mod chain;
mod chaos;
mod cli;
mod clients;
mod conformance;
mod convert;
mod data_path;
mod doctor;
mod footprint;
mod hostile;
mod hosts;
mod image;
mod kubelet;
mod malformed;
mod manifests;
mod messages;
mod names;
mod networks;
mod oci_client;
mod origins;
mod page;
mod peers;
mod policy;
mod pull;
mod readme;
mod rolling;
mod secrets;
mod security;
mod serve;
mod service_manager;
mod support;
mod systemd;
mod telemetry;
mod tls;
mod tokens;
mod vigil;
mod with_containerd;
