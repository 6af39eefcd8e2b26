//! The pulls of the last minutes on the page: a table that becomes a list of cards where there is no room.

use super::html::{ago, bytes, duration, escape, reference};
use crate::admin::status::{Moment, PullStatus, Status};

/// Pulls on the page; `/status` has the others that are remembered.
const SHOWN: usize = 40;

/// Less than this says nothing about a rate: it is over before the connection has come to speed.
const LEAST_RATED_BYTES: u64 = 64 * 1024;

pub(super) fn push(page: &mut String, status: &Status) {
    let pulls = &status.recent_pulls;
    // Where there is one instance only, it goes without saying.
    let several = status.instances.len() > 1;
    page.push_str("<section>\n<h2>Pulls of the last minutes</h2>\n");
    if pulls.is_empty() {
        page.push_str(
            "<p class=\"quiet\">None. When pods start and nothing shows here, containerd does not ask this daemon: \
             look at its <code>hosts.toml</code> and <code>config_path</code>.</p>\n</section>\n",
        );
        return;
    }
    page.push_str(
        "<table class=\"pulls\">\n<thead><tr><th>What</th><th>When</th><th>Size</th><th>Rate</th><th>Result</th></tr>\
         </thead>\n<tbody>\n",
    );
    for pull in pulls.iter().take(SHOWN) {
        push_row(page, pull, status.now, several);
    }
    page.push_str("</tbody>\n</table>\n");
    if pulls.len() > SHOWN {
        let more = pulls.len() - SHOWN;
        page.push_str(&format!("<p class=\"quiet\">{more} more as <a href=\"/status\">JSON</a>.</p>\n"));
    }
    page.push_str("</section>\n");
}

fn push_row(page: &mut String, pull: &PullStatus, now: Moment, several: bool) {
    let good = matches!(pull.outcome, "complete" | "redirected");
    page.push_str(&format!("<tr class=\"{}\">\n", if good { "ok" } else { "failed" }));
    let separator = if pull.reference.contains(':') { "@" } else { ":" };
    let of = if several { format!(" <span class=\"quiet\">{}</span>", escape(&pull.instance)) } else { String::new() };
    // What a digest was asked for is clear; what a tag led to is not.
    let resolved = pull.digest.as_deref().filter(|digest| *digest != pull.reference);
    let resolved = resolved.map(|digest| format!(" <span class=\"quiet\">{}</span>", reference(digest)));
    page.push_str(&format!(
        "<td class=\"what\"><span class=\"kind\">{}</span> <span>{}</span>{separator}{}{}{of}</td>\n",
        escape(pull.kind),
        escape(&pull.repository),
        reference(&pull.reference),
        resolved.unwrap_or_default()
    ));
    page.push_str(&format!("<td>{}</td>\n", ago(pull.at, now)));
    page.push_str(&format!("<td>{}</td>\n", size(pull)));
    page.push_str(&format!("<td>{}</td>\n", rate(pull)));
    page.push_str(&format!("<td>{}</td>\n</tr>\n", result(pull, good)));
}

fn size(pull: &PullStatus) -> String {
    let moved = pull.method != "HEAD" && pull.outcome != "redirected" && pull.outcome != "refused";
    if moved { bytes(as_f64(pull.bytes)) } else { "–".to_owned() }
}

fn rate(pull: &PullStatus) -> String {
    let took = duration(std::time::Duration::try_from_secs_f64(pull.seconds).unwrap_or_default());
    if pull.bytes < LEAST_RATED_BYTES || pull.seconds <= 0.0 {
        return took;
    }
    format!("{}/s <span class=\"quiet\">in {took}</span>", bytes(as_f64(pull.bytes) / pull.seconds))
}

fn result(pull: &PullStatus, good: bool) -> String {
    let words = match (pull.outcome, pull.status) {
        // All that a client asks for that has the content already.
        ("complete", _) if pull.method == "HEAD" => "found".to_owned(),
        ("complete", _) => "complete".to_owned(),
        ("redirected", _) => "handed to the bucket".to_owned(),
        ("cut", _) => "cut: the stream broke for good".to_owned(),
        ("left", _) => "the client left".to_owned(),
        (_, status) => format!("refused with {status}"),
    };
    let mark = if good { "✓" } else { "✗" };
    let mut text = format!("<span class=\"result\"><span aria-hidden=\"true\">{mark}</span> {words}</span>");
    if pull.from_memory && good {
        text.push_str(" <span class=\"quiet\">from memory</span>");
    }
    if pull.resumes > 0 {
        let times = if pull.resumes == 1 { "once".to_owned() } else { format!("{} times", pull.resumes) };
        text.push_str(&format!(" <span class=\"quiet\">resumed {times}</span>"));
    }
    if !good {
        text.push_str(&format!(" <code class=\"quiet\">{}</code>", escape(&pull.request_id)));
    }
    text
}

/// A count of bytes as a number to divide; exact up to 8 PiB.
#[expect(clippy::cast_precision_loss, reason = "for three figures on a page")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
