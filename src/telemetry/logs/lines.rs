//! Lines on their way to standard error, written by a thread of their own.
//!
//! A pull never waits for whoever reads the log. A line that comes alone is written at once; those that come in a storm are
//! gathered for some milliseconds and written by one system call. A reader that has stopped costs lines, never pulls; how many is said once it goes on.
//! Everything taken is written before [`Flusher`] is gone.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

/// How long lines are gathered: nothing to a person who reads along, and at most 200 writes a second.
const GATHERING: Duration = Duration::from_millis(5);
/// Most bytes that wait: some thousand lines, the storm of a second.
const MOST_BYTES: usize = 1024 * 1024;

/// Takes lines; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lost: u64,
    ended: bool,
}

/// Ends the writing thread when dropped, after its last line.
#[derive(Debug)]
pub(super) struct Flusher {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Lines that are written to `out`.
    pub(super) fn to(out: impl Write + Send + 'static) -> std::io::Result<(Self, Flusher)> {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&shared, out))?;
        Ok((lines.clone(), Flusher { lines, thread: Some(thread) }))
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // It is whole after every line of this file, so a poisoned lock guards a whole buffer too.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_all(shared: &Shared, mut out: impl Write) {
    let mut bytes = Vec::new();
    let mut written: Option<Instant> = None;
    loop {
        let waiting = shared.waiting();
        let idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.ended;
        let mut waiting = shared.changed.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        let gathering = written.map_or(Duration::ZERO, |at| GATHERING.saturating_sub(at.elapsed()));
        if !gathering.is_zero() {
            let gathered = shared.changed.wait_timeout_while(waiting, gathering, |waiting| !waiting.ended);
            (waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut bytes, &mut waiting.bytes);
        let (lost, ended) = (std::mem::take(&mut waiting.lost), waiting.ended);
        drop(waiting);
        // A log that cannot be written has nobody to be told.
        out.write_all(&bytes).and_then(|()| out.flush()).ok();
        written = Some(Instant::now());
        if lost > 0 {
            tracing::warn!(lines = lost, "lines of the log were lost: its reader was too slow");
        }
        bytes.clear();
        if ended {
            return;
        }
    }
}

impl Write for &Lines {
    /// Takes `line` whole, or counts it as lost.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut waiting = self.0.waiting();
        if waiting.bytes.len() + line.len() > MOST_BYTES {
            waiting.lost += 1;
        } else {
            let first = waiting.bytes.is_empty();
            waiting.bytes.extend_from_slice(line);
            drop(waiting);
            if first {
                self.0.changed.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.lines.0.waiting().ended = true;
        self.lines.0.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::{Lines, MOST_BYTES};

    /// A reader that takes what is written only when it is asked for.
    struct Slow(SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn all(written: &Receiver<Vec<u8>>) -> Vec<u8> {
        written.iter().flatten().collect()
    }

    #[test]
    fn every_line_is_written_in_order_before_the_end() {
        let (sender, written) = sync_channel(1);
        let (lines, flusher) = Lines::to(Slow(sender)).unwrap();
        let reader = std::thread::spawn(move || all(&written));
        let expected: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        for line in expected.split_inclusive('\n') {
            (&lines).write_all(line.as_bytes()).unwrap();
        }
        drop(flusher);
        assert_eq!(String::from_utf8(reader.join().unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_reader_that_has_stopped_holds_nobody_up_and_costs_no_more_than_was_set_aside() {
        let (sender, written) = sync_channel(0);
        let (lines, flusher) = Lines::to(Slow(sender)).unwrap();
        let line = [b'x'; 1024];
        for _ in 0..MOST_BYTES / line.len() * 3 {
            (&lines).write_all(&line).unwrap();
        }
        assert!(lines.0.waiting().lost > 0);
        let reader = std::thread::spawn(move || all(&written).len());
        drop(flusher);
        let read = reader.join().unwrap();
        assert!((line.len()..=2 * MOST_BYTES).contains(&read), "{read}");
    }
}
