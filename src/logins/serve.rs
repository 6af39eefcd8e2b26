//! The side that has logins: the socket, who may ask, and the conversation.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Answer, ProvideLogin, wire};

/// Root, which could take a login out of the daemon's memory anyway.
const ROOT: u32 = 0;

/// Conversations at once: the kubelet runs its plugin once for each image that it has no login for.
const CONVERSATIONS: usize = 16;

/// How long somebody may take to ask, and to take the answer: both fit into the socket's buffer.
const PEER_TIME: Duration = Duration::from_secs(5);

/// Pause after a failed accept: it fails again until somebody closes a file (EMFILE).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A socket that logins are asked for at. It is left where it is when the daemon ends: a successor has taken its name by
/// then, and a name that nobody listens at refuses at once.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    owner: u32,
}

impl Listener {
    /// Listens at `path`, in the place of whatever daemon listened there before. Needs a runtime.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` where something stands there that is no socket.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // Under another name first, so that there is no moment without a daemon and none with a socket for everybody.
        let aside = aside(path);
        fs::remove_file(&aside).or_else(|error| if is_absent(&error) { Ok(()) } else { Err(error) })?;
        let socket = UnixListener::bind(&aside)?;
        let ready = || {
            fs::set_permissions(&aside, fs::Permissions::from_mode(0o600))?;
            let owner = fs::symlink_metadata(&aside)?.uid();
            fs::rename(&aside, path)?;
            Ok(owner)
        };
        match ready() {
            Ok(owner) => Ok(Self { socket, owner }),
            Err(error) => {
                fs::remove_file(&aside).ok();
                Err(error)
            }
        }
    }
}

/// A name beside `path` for the moment until it is ready. One that is there is of a daemon that died in that moment.
fn aside(path: &Path) -> PathBuf {
    path.with_extension(format!("sock-{}", std::process::id()))
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Answers at `listener` until it is dropped, which ends every conversation with it.
pub async fn serve<P: ProvideLogin>(logins: Arc<P>, listener: Listener) {
    let permits = Arc::new(Semaphore::new(CONVERSATIONS));
    let mut conversations = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.socket.accept().await {
            Ok((stream, _)) => {
                conversations.spawn(conversation(Arc::clone(&logins), stream, listener.owner, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the login socket cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while conversations.try_join_next().is_some() {}
    }
}

async fn conversation<P: ProvideLogin>(
    logins: Arc<P>,
    mut stream: UnixStream,
    owner: u32,
    permit: OwnedSemaphorePermit,
) {
    if let Err(error) = converse(&*logins, &mut stream, owner).await {
        tracing::debug!(%error, "a conversation at the login socket ended early");
    }
    drop(permit);
}

async fn converse<P: ProvideLogin>(logins: &P, stream: &mut UnixStream, owner: u32) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let (user, process) = (peer.uid(), peer.pid());
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let wanted = timeout(PEER_TIME, wire::read_question(&mut *stream)).await.map_err(late)??;
    let answer = if user == ROOT || user == owner {
        logins.login(&wanted).await
    } else {
        tracing::warn!(user, process, host = %wanted.host, "a login was asked for by a user who gets none");
        Answer::Failed {
            what: format!("user {user} may not ask the daemon for logins"),
            next: "run it as root".to_owned(),
        }
    };
    if matches!(answer, Answer::Login(_)) {
        tracing::info!(user, process, host = %wanted.host, "a login was handed out");
    }
    let line = wire::answer(answer)?;
    timeout(PEER_TIME, stream.write_all(line.expose().as_bytes())).await.map_err(late)?
}
