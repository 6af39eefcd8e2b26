//! One event as one JSON object: `time`, `level`, `msg`, then the fields of the event and of the spans around it.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock, SystemClock};

/// The JSON form.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (now, level) = (SystemClock.now(), level(*metadata.level()));
        write!(writer, r#"{{"time":"{now:.6}","level":"{level}","msg":"{}","target":""#, fields.message)?;
        write!(Escaped(&mut writer), "{}", metadata.target())?;
        writer.write_char('"')?;
        if let Some(scope) = context.event_scope() {
            writer.write_str(r#","span":""#)?;
            for (number, span) in scope.from_root().enumerate() {
                let extensions = span.extensions();
                let fields = extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.as_str());
                let separator = if number == 0 { "" } else { ":" };
                match fields.unwrap_or_default() {
                    "" => write!(Escaped(&mut writer), "{separator}{}", span.name())?,
                    fields => write!(Escaped(&mut writer), "{separator}{}{{{fields}}}", span.name())?,
                }
            }
            writer.write_char('"')?;
        }
        writer.write_str(&fields.others)?;
        writer.write_str("}\n")
    }
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of an event as JSON, the message apart.
#[derive(Default)]
struct Fields {
    /// Escaped, without quotes.
    message: String,
    /// `,"name":value` for each.
    others: String,
}

impl Fields {
    /// Writes a value that needs no quotes.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        // Writing to a string does not fail.
        write!(self.others, "{value}").ok();
    }

    fn quoted(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            Escaped(&mut self.message).write_fmt(value).ok();
            return;
        }
        self.name(field);
        self.others.push('"');
        Escaped(&mut self.others).write_fmt(value).ok();
        self.others.push('"');
    }

    /// The names are identifiers of the source, which need no escape; those of the line itself cannot be taken twice.
    fn name(&mut self, field: &Field) {
        let taken = matches!(field.name(), "time" | "level" | "msg" | "target" | "span");
        write!(self.others, r#","{}{}":"#, field.name(), if taken { "_" } else { "" }).ok();
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.quoted(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.quoted(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for what is no number.
        if value.is_finite() { self.bare(field, value) } else { self.bare(field, "null") }
    }
}

/// Text as it stands inside the quotes of a JSON string (RFC 8259 section 7).
struct Escaped<W>(W);

impl<W: fmt::Write> fmt::Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(|char: char| matches!(char, '"' | '\\') || char < ' ') {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = special.chars();
            match chars.next() {
                Some('\n') => self.0.write_str("\\n")?,
                Some('\t') => self.0.write_str("\\t")?,
                Some(quoted @ ('"' | '\\')) => write!(self.0, "\\{quoted}")?,
                Some(control) => write!(self.0, "\\u{:04x}", u32::from(control))?,
                None => {}
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::Json;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_with_time_level_and_message() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(Json).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::Registry::default().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("pull", instance = "cri-1");
            span.in_scope(|| tracing::warn!(hop = "bearer", tries = 3_u64, msg = "taken", rate = f64::NAN, path = ?"\u{1}\\", "a \"quoted\"\nmessage"));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["msg"], "a \"quoted\"\nmessage");
        assert_eq!((line["hop"].as_str(), line["tries"].as_u64()), (Some("bearer"), Some(3)));
        assert_eq!(line["msg_"], "taken");
        assert_eq!((&line["rate"], line["path"].as_str()), (&serde_json::Value::Null, Some(r#""\u{1}\\""#)));
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
        assert!(line["span"].as_str().unwrap().contains("cri-1"));
    }
}
