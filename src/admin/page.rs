//! `/` for people: the status as one page that needs neither a script nor colour, on a phone or a wide screen.
//!
//! Promises: nothing is loaded from anywhere, and everything that was not written in this program is escaped.

mod html;
mod instance;
mod node;
mod pulls;

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::html::{ago, duration, escape};
use super::status::Status;
use crate::clock::until;

const STYLE: &str = include_str!("page/style.css");

/// A difference between the clocks that is worth a word: the cloud's dates have a resolution of a second, and the way
/// there takes time too.
const NOTABLE_SKEW_SECONDS: f64 = 5.0;

/// What the page may load and do: its own style, known by its hash, and nothing else.
pub(super) static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// The page.
pub(super) fn render(status: &Status) -> String {
    let verdict = if status.ready { "ready" } else { "not ready" };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{verdict} – acr-pull-proxy</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    );
    push_header(&mut page, status);
    page.push_str("<main>\n");
    push_refused(&mut page, status);
    for instance in &status.instances {
        instance::push(&mut page, instance, status.now);
    }
    pulls::push(&mut page, status);
    if let Some(containerd) = &status.containerd {
        node::push(&mut page, containerd);
    }
    page.push_str("</main>\n");
    push_footer(&mut page, status);
    page.push_str("</body>\n</html>\n");
    page
}

/// A word with a mark before it, so that it reads without colour too.
fn badge(good: bool, words: &str) -> String {
    let (class, sign) = if good { ("good", "✓") } else { ("bad", "✗") };
    mark(class, sign, words)
}

fn mark(class: &str, sign: &str, words: &str) -> String {
    format!("<strong class=\"badge {class}\"><span aria-hidden=\"true\">{sign}</span> {}</strong>", escape(words))
}

fn push_header(page: &mut String, status: &Status) {
    let with_login = status.instances.iter().filter(|instance| instance.ready).count();
    let words = match () {
        () if status.ready => "Ready".to_owned(),
        () if with_login == status.instances.len() => "Not ready: starting or ending".to_owned(),
        () => format!("Not ready: {with_login} of {} instances have a login", status.instances.len()),
    };
    page.push_str(&format!(
        "<header>\n<h1>acr-pull-proxy</h1>\n<p>{}</p>\n<dl class=\"facts\">\n",
        badge(status.ready, &words)
    ));
    let skew = status.clock_skew_seconds;
    let clock = match () {
        () if skew >= NOTABLE_SKEW_SECONDS => format!("<strong>{skew:.0} s ahead of the cloud</strong>"),
        () if skew <= -NOTABLE_SKEW_SECONDS => format!("<strong>{:.0} s behind the cloud</strong>", -skew),
        () => "agrees with the cloud".to_owned(),
    };
    let source = status.config.source.as_deref().unwrap_or("in memory");
    let up = duration(until(status.started.0, status.now.0));
    for (name, value) in [
        ("Pulls come in at", format!("<code>{}</code>", escape(&status.listen))),
        ("Running for", html::time(status.started, &up)),
        ("Configuration", format!("<code>{}</code>, read {}", escape(source), ago(status.config.read, status.now))),
        ("Clock of this node", clock),
    ] {
        page.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
    }
    page.push_str("</dl>\n</header>\n");
}

/// A configuration that is not in use, although somebody wrote it to be.
fn push_refused(page: &mut String, status: &Status) {
    if status.config.refused.is_empty() {
        return;
    }
    page.push_str(
        "<section class=\"problem\">\n<h2>A newer configuration was refused</h2>\n\
         <p>The one before it stays in use until these are corrected:</p>\n<ul>\n",
    );
    for problem in &status.config.refused {
        page.push_str(&format!("<li>{}</li>\n", escape(problem)));
    }
    page.push_str("</ul>\n</section>\n");
}

fn push_footer(page: &mut String, status: &Status) {
    page.push_str(&format!(
        "<footer>\n<p>Version {}, commit <code>{}</code>. As of {} by the cloud's clock; load the page again for news.</p>\n\
         <nav><a href=\"/status\">JSON</a> <a href=\"/metrics\">Metrics</a> <a href=\"/readyz\">Readiness</a></nav>\n\
         </footer>\n",
        escape(&status.version),
        escape(&status.commit),
        html::time(status.now, &status.now.to_string()),
    ));
}
