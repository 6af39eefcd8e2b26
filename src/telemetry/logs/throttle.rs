//! One line in ten seconds for each kind of complaint: a storm of failing pulls must not bury what else is said, nor
//! fill the disk of the node.
//!
//! Promises: the first complaint of a kind is written at once, how many followed is written too, and what is not a
//! complaint (`info` and below) passes untouched. With the level at `debug` somebody is looking, and everything passes.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use crate::clock::{Clock, SystemClock, Timestamp, later};

/// Within this time a kind of complaint is written once.
const PAUSE: Duration = Duration::from_secs(10);

/// Most kinds remembered. Kinds come from places in the source and from closed sets, so there are far fewer.
const MOST_KINDS: usize = 512;

/// The fields that make two complaints of one place different kinds. All take their values from the configuration or
/// from closed sets, never from a request.
const TELLING: [&str; 10] =
    ["instance", "hop", "status", "blame", "target", "key", "problem", "note", "role", "source"];

/// A form of lines in which repeated complaints are left out.
pub(super) struct Throttled<F> {
    form: F,
    format: Format,
    kinds: Mutex<Kinds>,
}

/// When each kind may be written again, and how many were left out.
#[derive(Default)]
struct Kinds(HashMap<u64, Kind>);

struct Kind {
    what: String,
    from: Timestamp,
    left_out: u64,
}

/// What is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decision {
    /// The complaint itself.
    write: bool,
    /// Kinds whose time is up, each with how many were left out of the log.
    left_out: Vec<(String, u64)>,
}

impl<F> Throttled<F> {
    pub(super) fn new(form: F, format: Format) -> Self {
        Self { form, format, kinds: Mutex::default() }
    }

    /// One line for complaints that were left out.
    fn summarise(&self, writer: &mut Writer<'_>, what: &str, times: u64) -> fmt::Result {
        let now = SystemClock.now();
        match self.format {
            Format::Json => {
                let what = serde_json::Value::from(what);
                writeln!(writer, r#"{{"time":"{now:.6}","level":"warn","msg":{what},"repeated":{times}}}"#)
            }
            Format::Text => writeln!(writer, "{now:.6}  WARN {what} ({times} more times)"),
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Throttled<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if LevelFilter::current() >= LevelFilter::DEBUG {
            return self.form.format_event(context, writer, event);
        }
        let complaint = (*event.metadata().level() <= Level::WARN).then(|| complaint(event));
        // The table is whole after every line of `judge`, so a poisoned lock guards a whole table too.
        let decision = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).judge(complaint, SystemClock.now());
        for (what, times) in decision.left_out {
            self.summarise(&mut writer, &what, times)?;
        }
        if decision.write { self.form.format_event(context, writer, event) } else { Ok(()) }
    }
}

impl Kinds {
    fn judge(&mut self, complaint: Option<(u64, String)>, now: Timestamp) -> Decision {
        let mut decision = Decision { write: true, left_out: Vec::new() };
        self.0.retain(|_, kind| {
            let over = later(kind.from, PAUSE) <= now;
            if over && kind.left_out > 0 {
                decision.left_out.push((std::mem::take(&mut kind.what), kind.left_out));
            }
            !over
        });
        let Some((key, what)) = complaint else { return decision };
        if let Some(kind) = self.0.get_mut(&key) {
            kind.left_out += 1;
            decision.write = false;
        } else if self.0.len() < MOST_KINDS {
            self.0.insert(key, Kind { what, from: now, left_out: 0 });
        }
        decision
    }
}

/// The kind of a complaint, and its message.
fn complaint(event: &Event<'_>) -> (u64, String) {
    let mut fields = Telling { hasher: DefaultHasher::new(), message: String::new() };
    event.metadata().callsite().hash(&mut fields.hasher);
    event.record(&mut fields);
    (fields.hasher.finish(), fields.message)
}

/// Reads the message and the fields that make the kind.
struct Telling {
    hasher: DefaultHasher,
    message: String,
}

impl Visit for Telling {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else if TELLING.contains(&field.name()) {
            format!("{value:?}").hash(&mut self.hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Decision, Kinds, MOST_KINDS, PAUSE};
    use crate::clock::{Timestamp, later};

    fn written() -> Decision {
        Decision { write: true, left_out: Vec::new() }
    }

    fn at(after: Duration) -> Timestamp {
        later(Timestamp::UNIX_EPOCH, after)
    }

    #[test]
    fn a_storm_is_one_line_and_then_its_count() {
        let mut kinds = Kinds::default();
        let complain = |kinds: &mut Kinds, after| kinds.judge(Some((1, "it failed".to_owned())), at(after));
        assert_eq!(complain(&mut kinds, Duration::ZERO), written());
        for _ in 0..500 {
            assert_eq!(complain(&mut kinds, PAUSE / 2), Decision::default());
        }
        let told = complain(&mut kinds, PAUSE);
        assert_eq!(told, Decision { write: true, left_out: vec![("it failed".to_owned(), 500)] });
        assert_eq!(complain(&mut kinds, PAUSE * 2), written(), "nothing was left out this time");
    }

    #[test]
    fn the_count_of_a_storm_that_is_over_comes_with_the_next_line_of_any_kind() {
        let mut kinds = Kinds::default();
        kinds.judge(Some((1, "it failed".to_owned())), at(Duration::ZERO));
        kinds.judge(Some((1, "it failed".to_owned())), at(Duration::ZERO));
        assert_eq!(kinds.judge(None, at(PAUSE / 2)), written());
        let told = kinds.judge(None, at(PAUSE));
        assert_eq!(told, Decision { write: true, left_out: vec![("it failed".to_owned(), 1)] });
    }

    #[test]
    fn another_kind_is_written_at_once_and_the_table_is_bounded() {
        let mut kinds = Kinds::default();
        for key in 0..MOST_KINDS as u64 * 2 {
            assert_eq!(kinds.judge(Some((key, String::new())), at(Duration::ZERO)), written());
        }
        assert_eq!(kinds.0.len(), MOST_KINDS);
    }
}
