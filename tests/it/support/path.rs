//! A way to the simulated cloud that a test can cut: an address of its own on the loopback network, from which bytes are
//! passed on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Bytes pass.
    Open,
    /// Nobody listens: a route that leads to nothing, or a firewall that says no.
    Refused,
    /// Connections come about and nothing follows: a firewall that swallows.
    Silent,
}

/// The way.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    /// How it is by now; a change takes a moment.
    is: watch::Receiver<Way>,
    accepted: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

/// Each path has an address of its own, as each host of the cloud has.
static NEXT: AtomicU8 = AtomicU8::new(1);

impl Path {
    /// An open way to `target`.
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let host = [127, 8, NEXT.fetch_add(1, Ordering::Relaxed), 1];
        let listener = TcpListener::bind((std::net::IpAddr::from(host), 0)).await.expect("a loopback address");
        let address = listener.local_addr().expect("its address");
        let (way, wanted) = watch::channel(Way::Open);
        let (done, is) = watch::channel(Way::Open);
        let accepted = Arc::new(AtomicUsize::new(0));
        let mut task = JoinSet::new();
        task.spawn(pass(listener, target, wanted, done, Arc::clone(&accepted)));
        Self { address, way, is, accepted, _task: task }
    }

    /// Changes the way; connections that there are break off.
    pub(crate) async fn make(&self, way: Way) {
        self.way.send_replace(way);
        self.is.clone().wait_for(|is| *is == way).await.expect("the path lives");
    }

    /// How many connections were made over it.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn pass(
    listener: TcpListener,
    target: SocketAddr,
    mut wanted: watch::Receiver<Way>,
    done: watch::Sender<Way>,
    accepted: Arc<AtomicUsize>,
) {
    let address = listener.local_addr().expect("its address");
    let mut listener = Some(listener);
    loop {
        let way = *wanted.borrow_and_update();
        if way == Way::Refused {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.expect("its own address again"));
        }
        // All connections of the time before go with the set.
        let mut connections = JoinSet::new();
        done.send_replace(way);
        loop {
            let arrival = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Ok((mut stream, _)) = arrival => {
                    accepted.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(async move {
                        if way == Way::Silent {
                            std::future::pending::<()>().await;
                        }
                        if let Ok(mut onward) = TcpStream::connect(target).await {
                            copy_bidirectional(&mut stream, &mut onward).await.ok();
                        }
                    });
                }
            }
        }
    }
}
