//! The APIs of Alibaba Cloud that the daemon calls, exact to the page that documents them.

pub mod endpoints;
