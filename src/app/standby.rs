//! A daemon that has been handed its sockets and cannot start.
//!
//! systemd's queue takes connections whether or not anybody accepts them, and containerd waits for an answer as long as
//! a connection is open. So they are answered, with the reason; containerd then goes on to the registry itself.

use std::io;
use std::net::TcpListener;

use tokio::sync::watch;

use super::{Task, certificate};
use crate::config::Tls;
use crate::http::listen::Listener;
use crate::proxy;

/// What strangers are told, who may come from outside this node.
const TO_STRANGERS: &str = "the daemon cannot start; its log says why";

/// Answers every request with 503 for as long as it lives.
#[derive(Debug)]
pub struct Standby {
    visitor: proxy::Visitor,
    end: watch::Sender<bool>,
    serving: Vec<Task>,
}

impl Standby {
    /// Accepts from `sockets`, which stay the caller's, and tells everybody `why`: one sentence without a full stop and
    /// without a secret. `tls` is spoken where it can be; else clients that want it are sent on by an answer that they
    /// do not understand. Needs a runtime.
    ///
    /// # Errors
    /// What the system says of a socket.
    pub fn start(sockets: &[TcpListener], tls: Option<&Tls>, why: &str) -> io::Result<Self> {
        let (end, _) = watch::channel(false);
        let (visitor, visits) = proxy::visits();
        let mut visits = Some(visits);
        let mut serving = Vec::new();
        for socket in sockets {
            let why = if socket.local_addr()?.ip().is_loopback() { why } else { TO_STRANGERS }.to_owned();
            let plain = || Listener::inherited(socket.try_clone()?);
            let listener = match certificate::secure(plain()?, tls) {
                // A certificate that is replaced meanwhile is taken by the daemon that starts.
                Ok((listener, _watch)) => listener,
                Err(_) => plain()?,
            };
            let visits = visits.take().unwrap_or_else(|| proxy::visits().1);
            let mut ended = end.subscribe();
            let until = async move {
                ended.wait_for(|ended| *ended).await.ok();
            };
            serving.push(Task(tokio::spawn(async move { proxy::refuse(listener, visits, &why, until).await })));
        }
        Ok(Self { visitor, end, serving })
    }

    /// Asks the first of the sockets whether it answers.
    #[must_use]
    pub fn visitor(&self) -> proxy::Visitor {
        self.visitor.clone()
    }

    /// Ends once the answers under way have gone; who comes later waits in the queue.
    pub async fn end(mut self) {
        self.end.send_replace(true);
        for task in &mut self.serving {
            (&mut task.0).await.ok();
        }
    }
}
