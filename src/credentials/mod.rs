//! The role chain of an instance: a first credential (the base), then AssumeRole hops.

pub mod plan;
