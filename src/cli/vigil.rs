//! Sees to it that a daemon which hangs is started anew: by systemd's watchdog, which is fed only while the daemon
//! answers a request of its own, and by the daemon's own end where it does not answer time and again.
//!
//! The thread has a runtime to itself, so that it goes on when the daemon's own does not.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::output::FAILED;
use super::service_manager;
use crate::proxy::Visitor;

/// How often the daemon is asked: seldom enough to cost nothing.
const BEAT: Duration = Duration::from_secs(5);

/// How often at least within systemd's time: it recommends twice, once more outlives a lost beat.
const BEATS: u32 = 3;

/// How many times in a row it may leave a request without its answer. Each has 5 s, and needs nothing but this process:
/// only one that is stuck, or a node that has stood still for longer, comes that far.
const MOST_SILENCES: u32 = 3;

/// The watch; over when it is dropped.
#[derive(Debug)]
pub(super) struct Vigil {
    _over: oneshot::Sender<Infallible>,
}

impl Vigil {
    /// Asks by `visitor` from now on. Where the daemon is stuck, the process ends with exit code 1.
    ///
    /// # Errors
    /// What the system says where there is no thread to be had.
    pub(super) fn begin(visitor: Visitor) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (_over, over) = oneshot::channel::<Infallible>();
        let watching = move || {
            let stuck = runtime.block_on(async {
                tokio::select! {
                    _ = over => false,
                    () = until_stuck(visitor) => true,
                }
            });
            if stuck {
                end();
            }
        };
        std::thread::Builder::new().name("vigil".to_owned()).spawn(watching)?;
        Ok(Self { _over })
    }
}

/// Whatever should be done in good order cannot be done any more.
#[expect(clippy::exit, reason = "the thread that would return from main is stuck")]
fn end() -> ! {
    std::process::exit(FAILED.into())
}

/// Returns when the daemon has not answered [`MOST_SILENCES`] times in a row; feeds systemd's watchdog until then, where
/// there is one.
async fn until_stuck(visitor: Visitor) {
    let beat = service_manager::watchdog().map_or(BEAT, |limit| BEAT.min(limit / BEATS));
    let mut silences = 0;
    loop {
        if visitor.is_answered().await {
            silences = 0;
            service_manager::alive();
        } else {
            silences += 1;
            let ends = silences >= MOST_SILENCES;
            tracing::error!(silences, ends, "a request of the daemon to itself was not answered");
            if ends {
                return;
            }
        }
        sleep(beat).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::until_stuck;
    use crate::http::listen::Listener;
    use crate::proxy::{refuse, visits};

    /// Longer than any daemon that is stuck may be left so.
    const LONG: Duration = Duration::from_secs(40);

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_answers_is_left_alone_and_one_that_hangs_is_not() {
        let (visitor, doors) = visits();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let serving = tokio::spawn(refuse(listener, doors, "a test", std::future::pending()));
        assert!(timeout(10 * LONG, until_stuck(visitor.clone())).await.is_err());

        // Nobody lets a visit in, as behind a loop that does not turn.
        serving.abort();
        let (stuck, _doors) = visits();
        for visitor in [stuck, visitor] {
            let begun = Instant::now();
            until_stuck(visitor).await;
            assert!(begun.elapsed() <= LONG, "{:?}", begun.elapsed());
        }
    }
}
