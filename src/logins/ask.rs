//! The side that wants a login.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Answer, Wanted, wire};

/// How long the daemon may take. It waits 12 s for faults that pass by themselves, and for the calls it then makes; the
/// kubelet gives its plugin a minute, in which somebody who got no answer still has to ask the cloud himself.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Asks the daemon that listens at `socket`.
///
/// # Errors
/// Where none listens there (`NotFound`, `ConnectionRefused`), it may not be asked (`PermissionDenied`), or it gives no
/// answer that can be understood in time.
pub async fn ask(socket: &Path, wanted: &Wanted) -> io::Result<Answer> {
    let conversation = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(wire::question(wanted)?.as_bytes()).await?;
        wire::read_answer(&mut stream).await
    };
    timeout(ANSWER_TIME, conversation).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
