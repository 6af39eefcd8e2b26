//! The two addresses of the daemon: bound by itself, or handed over by systemd.

use std::net::SocketAddr;

use super::StartError;
use crate::config::Config;
use crate::http::listen::{Listener, Place};

/// Both sockets, listening.
#[derive(Debug)]
pub struct Sockets {
    pub(super) pulls: Listener,
    pub(super) listen: SocketAddr,
    pub(super) operators: Listener,
    pub(super) admin: SocketAddr,
    /// Whether another daemon takes the pulls until this one is ready.
    pub(super) succeeds: bool,
}

impl Sockets {
    /// Listens on both addresses. `inherited` is a socket that somebody else listens with, and takes the place of
    /// `listen`. Needs a runtime.
    ///
    /// A daemon that listens there already, for example one that this one replaces, goes on beside it: pulls go to it
    /// until this one is ready and to this one then, operators to the newer one at once, since a probe asks on behalf of
    /// the one that was started last.
    ///
    /// # Errors
    /// [`StartError::Bind`].
    pub fn bind(config: &Config, inherited: Option<std::net::TcpListener>) -> Result<Self, StartError> {
        let succeeds = inherited.is_none() && Listener::is_taken(config.listen);
        let (pulls, listen) = match inherited {
            None => bind("listen", config.listen)?,
            Some(socket) => {
                let (pulls, listen) = resolve("listen", config.listen, Listener::inherited(socket))?;
                if listen != config.listen {
                    let configured = config.listen;
                    tracing::warn!(%listen, %configured, "the socket that was handed over stands for 'listen'");
                }
                (pulls, listen)
            }
        };
        if succeeds {
            // At once: whoever comes before this daemon can serve is to be served.
            pulls.send_newcomers_to(Place::First);
        }
        let (operators, admin) = bind("admin", config.admin)?;
        operators.send_newcomers_to(Place::Second);
        Ok(Self { pulls, listen, operators, admin, succeeds })
    }
}

fn bind(key: &'static str, address: SocketAddr) -> Result<(Listener, SocketAddr), StartError> {
    resolve(key, address, Listener::bind(address))
}

fn resolve(
    key: &'static str,
    address: SocketAddr,
    listener: std::io::Result<Listener>,
) -> Result<(Listener, SocketAddr), StartError> {
    let fail = |source| StartError::Bind { key, address, source };
    let listener = listener.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}
