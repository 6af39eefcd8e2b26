//! From a URL to a connection: TCP and TLS within one time limit, or one that lies ready.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use tower::Service;

use super::dial::Dialer;
use super::ready::{Ready, Stream};
use crate::error::{BoxError, chain};

/// Which protocols are offered in the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Http2AndHttp1,
    Http1,
}

/// TCP and TLS together, within one time limit.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Dialer>,
    timeout: Duration,
    ready: Ready,
}

impl Service<http::Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        match self.ready.take(&uri) {
            Some(stream) => Box::pin(async { Ok(stream) }),
            None => Box::pin(self.open(uri)),
        }
    }
}

impl Connector {
    pub(super) fn new(tls: rustls::ClientConfig, dialer: Dialer, timeout: Duration, offer: Offer) -> Self {
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let https = match offer {
            Offer::Http2AndHttp1 => tls.enable_all_versions().wrap_connector(dialer),
            Offer::Http1 => tls.enable_http1().wrap_connector(dialer),
        };
        Self { https, timeout, ready: Ready::default() }
    }

    /// Opens one connection and lays it ready for whoever needs it next.
    pub(super) async fn reach(&self, uri: &http::Uri) -> Result<(), BoxError> {
        let stream = self.clone().open(uri.clone()).await?;
        if let [number, ..] = self.ready.keep_places(uri, 1)[..] {
            let (connector, uri) = (self.clone(), uri.clone());
            tokio::spawn(async move { connector.ready.keep(&uri, number, Some(stream)).await });
        }
        Ok(())
    }

    /// Opens connections ahead of need, so that `wanted` lie ready.
    pub(super) fn warm(&self, uri: &http::Uri, wanted: usize) {
        for number in self.ready.keep_places(uri, wanted) {
            let (mut connector, uri) = (self.clone(), uri.clone());
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

    /// Opens a new connection.
    fn open(&mut self, uri: http::Uri) -> impl Future<Output = Result<Stream, BoxError>> + Send + use<> {
        let connecting = self.https.call(uri);
        let limit = self.timeout;
        async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(result) => result,
                Err(_) => Err(format!("no TCP and TLS connection within {limit:?}").into()),
            }
        }
    }
}
