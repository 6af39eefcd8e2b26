//! A per-node registry mirror for containerd that pulls from Alibaba Cloud Container Registry (ACR) instances of other
//! accounts, with short-lived logins that are stored nowhere.
//!
//! # The way a pull takes
//!
//! ```text
//! containerd --(hosts.toml)--> 127.0.0.1
//!   proxy        a connection, a request, the instance it belongs to, an answer of the distribution spec
//!   upstream       the request to the registry with a bearer; the redirect to the bucket, built from nothing;
//!                  the bytes, continued where they break
//!     token          the bearer of a repository <- the authorization token of the instance
//!     credentials      the role chain: a first credential, then AssumeRole hops
//!     cloud              STS, Container Registry and metadata service, signed and exact
//!     refresh        one cell around every one of them: one load for all who wait, renewed ahead of need
//!   http         one client, one TLS set-up, one comparison of origins
//! ```
//!
//! # Layers
//!
//! Arrows point down only, and modules of one layer do not know each other; a test (`tests/it/architecture.rs`) holds
//! every import against this table.
//!
//! | layer | modules |
//! |---|---|
//! | 9 wiring | [`app`] [`cli`] |
//! | 8 settings | [`config`], which fills the `Params` of those below |
//! | 7 faces | [`proxy`] [`admin`] [`logins`] [`containerd`] |
//! | 6 registry | [`upstream`], which is handed bearers and knows no credential |
//! | 5 tokens | [`token`] |
//! | 4 identity | [`credentials`] |
//! | 3 cloud APIs | [`cloud`] |
//! | 2 tools | [`refresh`] [`http`] |
//! | 1 signals | [`telemetry`] |
//! | 0 words | [`error`] [`clock`] [`secret`] [`oci`]: no runtime, no I/O |
//!
//! # What always holds
//!
//! - No secret is printed, logged, exported or served: it is a [`secret::Secret`], and a presigned URL is a
//!   [`http::origin::SafeUri`]. The one exception is what it is there for: [`logins`] gives root of this node the login
//!   that the kubelet or docker asked for.
//! - A bearer goes to the registry it was issued for and nowhere else; a login goes to an allowed realm and nowhere
//!   else; a hop of a redirect starts from an empty header map.
//! - A client is never challenged for credentials, and a body that cannot be completed never ends as if it were.
//! - What a request says never becomes a metric label, and what is not configured costs the upstream nothing.
//! - On the node, only our own entry in a `hosts.toml` is touched, in one step, and it comes out without a trace.
//! - Every error knows who must act ([`error::Blame`]) and what they can do.
//! - Time comes from a [`clock::Clock`], the environment from [`config::Environment`]; so tests own both.

pub mod admin;
pub mod app;
pub mod cli;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod containerd;
pub mod credentials;
pub mod error;
pub mod http;
#[cfg(any(test, fuzzing))]
pub mod invariants;
pub mod logins;
pub mod oci;
pub mod proxy;
pub mod refresh;
pub mod secret;
pub mod telemetry;
pub mod token;
pub mod upstream;
