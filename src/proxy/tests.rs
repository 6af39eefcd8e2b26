//! The face and the upstream behind it, over real sockets against the simulated cloud. Only the bearers are forged here,
//! since how they are come by is not this layer's business.

mod ahead;
mod bad_input;
mod blobs;
mod connections;
mod early;
mod manifests;
mod parts;
mod ranges;
mod resume;
mod routing;
mod silence;
mod support;
mod turns;
