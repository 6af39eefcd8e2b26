//! From a URL to a connection: TCP and TLS within one time limit, or one that lies ready.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_rustls::HttpsConnector;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tower::Service;

use super::dial::{Dialer, Dialled};
use super::ready::{Ready, Stream};
use crate::error::{BoxError, chain};

/// How long TLS may take at one of several addresses before the next is tried: several round trips to the other end of the
/// world, and no more than a part of what all of them have together.
const TLS_AT_ONE: Duration = Duration::from_secs(2);

/// Which protocols are offered in the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Http2AndHttp1,
    Http1,
}

/// TCP and TLS together, within one time limit.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    dialer: Dialer,
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
    ready: Ready,
}

impl Service<http::Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        match self.ready.take(&uri) {
            Some(stream) => Box::pin(async { Ok(stream) }),
            None => Box::pin(self.open(uri)),
        }
    }
}

impl Connector {
    pub(super) fn new(mut tls: rustls::ClientConfig, dialer: Dialer, timeout: Duration, offer: Offer) -> Self {
        tls.alpn_protocols = match offer {
            Offer::Http2AndHttp1 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Offer::Http1 => vec![b"http/1.1".to_vec()],
        };
        Self { dialer, tls: Arc::new(tls), timeout, ready: Ready::default() }
    }

    /// Opens one connection and lays it ready for whoever needs it next.
    pub(super) async fn reach(&self, uri: &http::Uri) -> Result<(), BoxError> {
        let stream = self.open(uri.clone()).await?;
        if let [number, ..] = self.ready.keep_places(uri, 1)[..] {
            let (connector, uri) = (self.clone(), uri.clone());
            tokio::spawn(async move { connector.ready.keep(&uri, number, Some(stream)).await });
        }
        Ok(())
    }

    /// Opens connections ahead of need, so that `wanted` lie ready.
    pub(super) fn warm(&self, uri: &http::Uri, wanted: usize) {
        for number in self.ready.keep_places(uri, wanted) {
            let (connector, uri) = (self.clone(), uri.clone());
            tokio::spawn(async move {
                let stream = connector.open(uri.clone()).await;
                if let Err(error) = &stream {
                    tracing::debug!(%uri, error = chain(&**error), "no connection ahead of need");
                }
                connector.ready.keep(&uri, number, stream.ok()).await;
            });
        }
    }

    /// How many connections lie ready.
    #[cfg(test)]
    pub(super) fn ready_for(&self, uri: &http::Uri) -> usize {
        self.ready.count(uri)
    }

    /// Lets go of the connections to an origin that lie ready.
    pub(super) fn forget(&self, uri: &http::Uri) {
        self.ready.forget(uri);
    }

    /// Opens a new connection. An address with which TLS does not come about makes room for the next, as one does that
    /// takes no connection.
    fn open(&self, uri: http::Uri) -> impl Future<Output = Result<Stream, BoxError>> + Send + use<> {
        let (dialer, tls, limit) = (self.dialer.clone(), Arc::clone(&self.tls), self.timeout);
        async move {
            let deadline = Instant::now() + limit;
            let mut without = Vec::new();
            loop {
                let (once, dialled) = dialer.once(&without, deadline);
                let mut https = HttpsConnector::from((once, Arc::clone(&tls)));
                let late = || format!("no TCP and TLS connection within {limit:?}").into();
                let result = tokio::select! {
                    result = timeout_at(deadline, https.call(uri.clone())) => result.unwrap_or_else(|_| Err(late())),
                    () = takes_too_long(dialled.clone()) => Err(late()),
                };
                let at = *dialled.borrow();
                match (result, at) {
                    (Err(error), Some(Dialled { address, has_others })) => {
                        dialer.lost(address);
                        if !has_others || Instant::now() >= deadline {
                            return Err(error);
                        }
                        tracing::debug!(%address, error = chain(&*error), "trying another address");
                        without.push(address);
                    }
                    (result, _) => return result,
                }
            }
        }
    }
}

/// Ends when TLS has taken as long as it may at an address that is one of several.
async fn takes_too_long(mut dialled: watch::Receiver<Option<Dialled>>) {
    let is_one_of_several = |at: &Option<Dialled>| at.is_some_and(|at| at.has_others);
    if dialled.wait_for(is_one_of_several).await.is_err() {
        return std::future::pending().await;
    }
    sleep(TLS_AT_ONE).await;
}
