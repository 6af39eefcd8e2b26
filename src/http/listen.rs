//! Addresses that several daemons listen on together, so that one replaces another without a refused connection.
//!
//! Every socket is bound with `SO_REUSEPORT` (socket(7)): the kernel then spreads new connections over all sockets of
//! the address, each with a queue of its own. The queue is the trap: what still waits in it when its socket is closed is
//! reset. So whoever ends first sends the newcomers to the other sockets ([`Listener::send_newcomers_to`]), empties its
//! queue, and closes then. A socket that was inherited (systemd's `.socket` units) is another matter: its queue stays
//! with the giver and is left alone.

pub mod places;
pub mod tls;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Connections that wait to be accepted; the kernel's own default limit (`net.core.somaxconn`) is no lower on any
/// Linux that containerd 1.6 runs on. Two hundred pulls that start at once open six hundred.
const BACKLOG: u32 = 4096;

/// The classic BPF instruction "return this constant" (`BPF_RET | BPF_K`, Linux `filter.h`).
const BPF_RETURN: u16 = 0x06;

/// A place among the sockets of an address, which are in the order in which they began to listen; when one closes, the
/// last takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The one that was there first.
    First,
    /// The one that came second: the successor, in a replacement.
    Second,
}

/// A listening socket, who keeps its queue, and whether it speaks TLS.
pub struct Listener {
    socket: TcpListener,
    inherited: bool,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Listens on `address`, beside others of the same user who allow it too. Port 0 takes a port that nobody has.
    ///
    /// # Errors
    /// What the system says: above all that somebody listens there who does not share.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart within a minute of the last connection is no reason to fail.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(BACKLOG)?, inherited: false, tls: None })
    }

    /// Whether somebody listens on `address` already, told by a socket that would not share it.
    #[must_use]
    pub fn is_taken(address: SocketAddr) -> bool {
        let probe = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)
        };
        probe().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::AddrInUse)
    }

    /// Takes over a socket that another process listens with and keeps.
    ///
    /// # Errors
    /// What the system says when the socket is made non-blocking.
    pub fn inherited(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: TcpListener::from_std(socket)?, inherited: true, tls: None })
    }

    /// The same, greeting clients in TLS.
    #[must_use]
    pub fn with_tls(self, tls: TlsAcceptor) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// What greets clients in TLS, where they are to be greeted so.
    #[must_use]
    pub fn tls(&self) -> Option<TlsAcceptor> {
        self.tls.clone()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection. Can be dropped while it waits without losing one.
    ///
    /// # Errors
    /// What the system says, of the one connection or of this process.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        self.socket.accept().await.map(|(stream, _)| stream)
    }

    /// Whether its queue outlives this process, so that others accept what is in it.
    #[must_use]
    pub const fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Sends new connections to the socket at this place, for as long as there is one there; else the kernel goes on
    /// spreading them. Holds for all sockets of the address until one says otherwise.
    pub fn send_newcomers_to(&self, place: Place) {
        let index = match place {
            Place::First => 0,
            Place::Second => 1,
        };
        let mut instruction = libc::sock_filter { code: BPF_RETURN, jt: 0, jf: 0, k: index };
        let program = libc::sock_fprog { len: 1, filter: &raw mut instruction };
        if let Err(error) = setsockopt(&self.socket, sockopt::AttachReusePortCbpf, &program) {
            // An inherited socket need not share. What is lost is that nothing is lost in a few microseconds.
            tracing::debug!(%error, "new connections cannot be directed");
        }
    }

    /// The bare socket.
    #[must_use]
    pub fn into_inner(self) -> TcpListener {
        self.socket
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, inherited, tls } = self;
        f.debug_struct("Listener")
            .field("socket", socket)
            .field("inherited", inherited)
            .field("tls", &tls.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::{Listener, Place};

    /// Enough for chance to hit both sockets where the kernel spreads: all on one has a probability of 2^-63.
    const MANY: usize = 64;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    async fn connect(address: SocketAddr, count: usize) -> Vec<TcpStream> {
        let mut streams = Vec::new();
        for _ in 0..count {
            streams.push(TcpStream::connect(address).await.unwrap());
        }
        streams
    }

    async fn waiting(listener: &Listener) -> usize {
        let mut count = 0;
        while let Ok(Ok(_)) = timeout(Duration::from_millis(20), listener.accept()).await {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn newcomers_go_to_the_successor_and_to_the_one_that_is_left() {
        let old = Listener::bind(ANY).unwrap();
        let address = old.local_addr().unwrap();
        let new = Listener::bind(address).unwrap();
        let _both = connect(address, MANY).await;
        let (to_old, to_new) = (waiting(&old).await, waiting(&new).await);
        assert!(to_old > 0 && to_new > 0 && to_old + to_new == MANY, "{to_old} {to_new}");
        old.send_newcomers_to(Place::Second);
        let _second = connect(address, MANY).await;
        assert_eq!((waiting(&old).await, waiting(&new).await), (0, MANY));
        old.send_newcomers_to(Place::First);
        let _first = connect(address, MANY).await;
        assert_eq!((waiting(&old).await, waiting(&new).await), (MANY, 0));
        old.send_newcomers_to(Place::Second);
        drop(old);
        let _left = connect(address, MANY).await;
        assert_eq!(waiting(&new).await, MANY);
    }

    #[tokio::test]
    async fn who_does_not_share_is_not_joined() {
        let alone = TcpListener::bind(ANY).await.unwrap();
        assert_eq!(Listener::bind(alone.local_addr().unwrap()).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    }
}
