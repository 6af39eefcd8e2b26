//! What a simulated service sees and gives: one whole request, one whole answer.
//!
//! Services are plain functions from [`Call`] to [`Answer`]. The server in front of them does everything that has to do
//! with sockets: TLS, pacing, cuts, stalls. That keeps each service as short as the page that documents it.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;

/// One request, read to its end.
#[derive(Debug, Clone)]
pub struct Call {
    /// The request method.
    pub method: Method,
    /// The name the client asked for (`Host` or `:authority`), lower case, without a port.
    pub host: String,
    /// Path and query exactly as they came.
    pub uri: Uri,
    /// All header lines.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// The cloud's own time when the request arrived; it may differ from the node's.
    pub now: Timestamp,
}

/// One response with its whole body; a slice of a large blob costs nothing, since [`Bytes`] shares memory.
pub type Answer = http::Response<Bytes>;

impl Call {
    /// The value of a header as text, or `None` where it is absent or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
