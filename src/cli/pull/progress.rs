//! How far a pull is: a bar for each blob on a terminal, a line for each in a pipe.

use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::cli::output::print;

/// Name, bar, bytes, rate. No colour of its own: bars are told by their form.
const BAR: &str = "{prefix} [{bar:30}] {bytes:>10}/{total_bytes} {binary_bytes_per_sec:>12}";

/// Characters of a digest that tell blobs of one image apart, algorithm included.
const SHORT: usize = 19;

/// Shows what is under way.
#[derive(Debug)]
pub(in crate::cli) struct Progress(Show);

#[derive(Debug)]
enum Show {
    Bars(Arc<MultiProgress>),
    Lines,
    Nothing,
}

impl Progress {
    /// Bars where somebody watches, lines where something reads.
    pub(in crate::cli) fn for_people() -> Self {
        let watched = io::stderr().is_terminal() && io::stdout().is_terminal();
        Self(if watched { Show::Bars(Arc::default()) } else { Show::Lines })
    }

    pub(in crate::cli) const fn silent() -> Self {
        Self(Show::Nothing)
    }

    /// A blob begins.
    pub(super) fn blob(&self, digest: &str, expected: u64) -> Meter {
        let name: String = digest.chars().take(SHORT).collect();
        let bar =
            match &self.0 {
                Show::Bars(all) => {
                    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
                    Some(all.add(
                        ProgressBar::new(expected).with_style(style.progress_chars("=> ")).with_prefix(name.clone()),
                    ))
                }
                Show::Lines | Show::Nothing => None,
            };
        let line = matches!(self.0, Show::Lines);
        Meter { name, bar, line, bytes: 0, started: Instant::now() }
    }

    /// Nothing more comes.
    pub(super) fn finish(&self) {
        if let Show::Bars(all) = &self.0 {
            // A terminal that is gone has seen enough.
            all.clear().ok();
        }
    }
}

/// Counts the bytes of one blob and lets go of them.
#[derive(Debug)]
pub(super) struct Meter {
    name: String,
    bar: Option<ProgressBar>,
    line: bool,
    bytes: u64,
    started: Instant,
}

impl Meter {
    /// The blob came whole; how many bytes it has.
    pub(super) fn done(self) -> u64 {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
        if self.line {
            // Standard output that is gone is noticed with the summary.
            print(&format!("{}  {:>10}  {:.1?}\n", self.name, size(self.bytes), self.started.elapsed())).ok();
        }
        self.bytes
    }
}

impl AsyncWrite for Meter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.bytes += bytes.len() as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(self.bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Bytes as people read them.
pub(in crate::cli) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
