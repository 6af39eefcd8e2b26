//! Text, times and sizes as the page shows them. Everything that was not written in this program is escaped.

use std::time::Duration;

use crate::admin::status::Moment;
use crate::clock::until;

/// Text as HTML shows it, in elements and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// From here on seconds say nothing any more, and times are rounded to the minute.
const ROUNDED: u64 = 600;

/// A duration in its largest unit, and the next below where that says more.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let seconds = if seconds < ROUNDED { seconds } else { seconds + 30 };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if duration < Duration::from_millis(1) => "under 1 ms".to_owned(),
        () if duration < Duration::from_secs(1) => format!("{} ms", duration.as_millis()),
        () if minutes == 0 => format!("{seconds} s"),
        () if hours == 0 => format!("{minutes} min"),
        () if days == 0 && minutes % 60 == 0 => format!("{hours} h"),
        () if days == 0 => format!("{hours} h {} min", minutes % 60),
        () => format!("{days} d {} h", hours % 24),
    }
}

/// How long ago something was, with the exact time behind it for programs and for those who point at it.
pub(super) fn ago(at: Moment, now: Moment) -> String {
    let passed = until(at.0, now.0);
    let words = if passed < Duration::from_secs(1) { "now".to_owned() } else { format!("{} ago", duration(passed)) };
    time(at, &words)
}

/// Words for a time.
pub(super) fn time(at: Moment, words: &str) -> String {
    format!("<time datetime=\"{at}\" title=\"{at}\">{}</time>", escape(words))
}

/// Bytes in binary units with three figures.
pub(super) fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count;
    let mut unit = 0;
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let places = match () {
        () if unit == 0 || value >= 99.95 => 0,
        () if value >= 9.995 => 1,
        () => 2,
    };
    format!("{value:.places$} {}", UNITS[unit])
}

/// A digest short enough to be read, whole behind it; anything else as it is.
pub(super) fn reference(text: &str) -> String {
    const SHOWN: usize = 12;
    match text.split_once(':') {
        Some((algorithm, hash)) if hash.len() > SHOWN => {
            let start: String = hash.chars().take(SHOWN).collect();
            format!("<code title=\"{}\">{}:{}…</code>", escape(text), escape(algorithm), escape(&start))
        }
        _ => format!("<code>{}</code>", escape(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{bytes, duration, escape, reference};

    #[test]
    fn what_could_be_markup_is_text() {
        assert_eq!(escape("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
        assert_eq!(reference("v1\"><script>"), "<code>v1&quot;&gt;&lt;script&gt;</code>");
        assert!(reference(&format!("sha256:\"{}", "0".repeat(64))).contains("sha256:&quot;00000000000…</code>"));
    }

    #[test]
    fn durations_are_told_as_people_do() {
        let told = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!((told(59), told(60), told(3599)), ("59 s".into(), "1 min".into(), "1 h".into()));
        assert_eq!((told(3600), told(3900), told(90_000)), ("1 h".into(), "1 h 5 min".into(), "1 d 1 h".into()));
        assert_eq!(duration(Duration::from_micros(2500)), "2 ms");
        assert_eq!(duration(Duration::from_micros(900)), "under 1 ms");
    }

    #[test]
    fn sizes_have_three_figures() {
        assert_eq!((bytes(0.0), bytes(999.0), bytes(1000.0)), ("0 B".into(), "999 B".into(), "0.98 KiB".into()));
        assert_eq!((bytes(65_536.0), bytes(67_108_864.0)), ("64.0 KiB".into(), "64.0 MiB".into()));
        assert_eq!(bytes(1024.0 * 1024.0 * 200.0), "200 MiB");
    }
}
