//! The log: one line per event on standard error, as JSON or for eyes, with a level that can change while running.
//!
//! The level is that of the daemon; libraries stay at warnings, since their debug lines know no secrets from data. The
//! same complaint over and over is written once in a while, with a count (`throttle`).

mod json;
mod lines;
mod throttle;

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::lines::{Flusher, Lines};
use self::throttle::Throttled;
use crate::clock::{Clock, SystemClock};

/// The target of the audit log: one line for each pull request that moved content or failed, at level `info`.
pub const AUDIT: &str = "audit";

/// What the log is set up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    /// `log.format`; `None`: text on a terminal, JSON elsewhere.
    pub format: Option<Format>,
    /// `log.level`.
    pub level: Level,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object with `time`, `level`, `msg` and the fields of the event.
    Json,
    /// For people.
    Text,
}

impl Format {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Json, Self::Text].into_iter().find(|format| format.as_str() == text).ok_or("it must be json or text")
    }
}

/// The least important level that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Somebody has to act.
    Error,
    /// Somebody may have to.
    Warn,
    /// What happens once in a while.
    #[default]
    Info,
    /// What happens with every request.
    Debug,
    /// Everything, of libraries too.
    Trace,
}

impl Level {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }

    const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }

    fn targets(self) -> Targets {
        let libraries = self.filter().min(LevelFilter::WARN);
        let ours = self.filter();
        Targets::new().with_default(libraries).with_target(env!("CARGO_CRATE_NAME"), ours).with_target(AUDIT, ours)
    }
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];
        all.into_iter().find(|level| level.as_str() == text).ok_or("it must be error, warn, info, debug or trace")
    }
}

/// Changes the level while the daemon runs; the one that does nothing is for where no log was set up.
#[derive(Clone, Default)]
pub struct LevelHandle(Option<Arc<reload::Handle<Targets, Registry>>>);

impl LevelHandle {
    /// Writes events of this level and above from now on.
    pub fn set(&self, level: Level) {
        if let Some(handle) = &self.0 {
            // It fails only when the subscriber is gone, and then there is nobody to tell.
            handle.reload(level.targets()).ok();
        }
    }
}

impl fmt::Debug for LevelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LevelHandle").field(&self.0.is_some()).finish()
    }
}

/// The log of this process; whatever was said is written before it is gone.
#[derive(Debug)]
pub struct Log {
    level: LevelHandle,
    _flusher: Flusher,
}

impl Log {
    /// What changes its level.
    #[must_use]
    pub fn level(&self) -> LevelHandle {
        self.level.clone()
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error(transparent)]
    Taken(#[from] TryInitError),
    /// The thread that writes it cannot be started.
    #[error("its thread cannot be started")]
    Thread(#[from] std::io::Error),
}

/// Sets up the log of this process.
///
/// # Errors
/// [`InitError`].
pub fn init(params: Params) -> Result<Log, InitError> {
    let terminal = std::io::stderr().is_terminal();
    let format = params.format.unwrap_or(if terminal { Format::Text } else { Format::Json });
    let (filter, handle) = reload::Layer::new(params.level.targets());
    let (lines, flusher) = Lines::to(std::io::stderr())?;
    let lines = tracing_subscriber::fmt::layer().with_writer(lines);
    let subscriber = Registry::default().with(filter);
    match format {
        Format::Json => {
            // The fields of spans would have colours, even within JSON.
            subscriber.with(lines.with_ansi(false).event_format(Throttled::new(json::Json, format))).try_init()?;
        }
        Format::Text => {
            let text = tracing_subscriber::fmt::format().with_timer(Utc).with_target(false).with_ansi(terminal);
            subscriber.with(lines.with_ansi(terminal).event_format(Throttled::new(text, format))).try_init()?;
        }
    }
    Ok(Log { level: LevelHandle(Some(Arc::new(handle))), _flusher: flusher })
}

/// The time of day in UTC, to the microsecond.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:.6}", SystemClock.now())
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Level};

    #[test]
    fn words_read_as_they_are_written() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("trace".parse(), Ok(Level::Trace));
        assert!("JSON".parse::<Format>().is_err());
        assert!("loud".parse::<Level>().is_err());
    }

    #[test]
    fn debug_of_ours_does_not_open_the_libraries() {
        let targets = Level::Debug.targets();
        assert!(targets.would_enable("acr_pull_proxy::token", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("hyper::proto", &tracing::Level::INFO));
        assert!(!Level::Error.targets().would_enable("hyper::proto", &tracing::Level::WARN));
    }
}
