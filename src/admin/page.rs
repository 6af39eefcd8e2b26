//! `/` for people: the status as one page without a script, readable in a terminal browser.

use super::status::{InstanceStatus, Status};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"viewport\" content=\"width=device-width\"><title>acr-pull-proxy</title><style>\
    body{font:1em/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color-scheme:light dark}\
    table{border-collapse:collapse}td,th{text-align:left;padding:.1em 1.5em .1em 0;vertical-align:top}\
    .bad{color:#c22}code{overflow-wrap:anywhere}</style></head>\n<body>\n";

/// The page.
pub(super) fn render(status: &Status) -> String {
    let mut page = String::from(HEAD);
    let ready = if status.ready { "ready" } else { "<span class=\"bad\">not ready</span>" };
    page.push_str(&format!(
        "<h1>acr-pull-proxy {}</h1>\n<p>{ready}; pulls on <code>{}</code>; since {}; commit {}.</p>\n",
        escape(&status.version),
        escape(&status.listen),
        escape(&status.started),
        escape(&status.commit),
    ));
    let source = status.config.source.as_deref().unwrap_or("memory");
    page.push_str(&format!("<p>Configuration: {}, read {}.</p>\n", escape(source), escape(&status.config.read)));
    if !status.config.refused.is_empty() {
        page.push_str("<p class=\"bad\">A newer configuration was refused; the one before it is in use:</p>\n<ul>\n");
        for problem in &status.config.refused {
            page.push_str(&format!("<li>{}</li>\n", escape(problem)));
        }
        page.push_str("</ul>\n");
    }
    for instance in &status.instances {
        push_instance(&mut page, instance);
    }
    page.push_str("<p><a href=\"/status\">as JSON</a> <a href=\"/metrics\">metrics</a></p>\n</body></html>\n");
    page
}

fn push_instance(page: &mut String, instance: &InstanceStatus) {
    let ready = if instance.ready { "has a login" } else { "<span class=\"bad\">has no login</span>" };
    page.push_str(&format!("<h2>{}</h2>\n<p>{ready}; last pull: ", escape(&instance.id)));
    page.push_str(&escape(instance.last_pull.as_deref().unwrap_or("none yet")));
    page.push_str(".</p>\n");
    for domain in &instance.domains {
        page.push_str(&format!("<code>{}</code><br>\n", escape(domain)));
    }
    if let Some(error) = &instance.last_error {
        let advice = error.advice.as_deref().unwrap_or_default();
        page.push_str(&format!(
            "<p class=\"bad\">{} at {}: {}<br>{}</p>\n",
            escape(&error.hop),
            escape(&error.at),
            escape(&error.text),
            escape(advice)
        ));
    }
    if instance.hops.is_empty() {
        return;
    }
    page.push_str("<table>\n<tr><th>hop</th><th>name</th><th>expires</th><th></th></tr>\n");
    for hop in &instance.hops {
        let expires = hop.expires.as_deref().unwrap_or("not held");
        let cells = [hop.hop.as_str(), &hop.name, expires, hop.note.as_deref().unwrap_or_default()]
            .map(|cell| format!("<td>{}</td>", escape(cell)));
        page.push_str(&format!("<tr>{}</tr>\n", cells.concat()));
    }
    page.push_str("</table>\n");
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
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
