//! The daemon in front of the simulated cloud, as people run it.

mod bad_input;
mod chain;
mod containerd;
mod data_path;
mod oci_client;
mod support;
