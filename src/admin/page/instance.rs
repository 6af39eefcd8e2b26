//! One instance on the page: its domains, its chain step by step with the life left in each, what went wrong last.

use super::badge;
use super::html::{ago, duration, escape, time};
use crate::admin::status::{ErrorStatus, HopStatus, InstanceStatus, Moment};
use crate::clock::until;

/// A renewal is due when less than this share of a life is left. Everything is renewed before, so that less means that
/// it does not succeed.
const DUE_SHARE: f64 = 0.25;

pub(super) fn push(page: &mut String, instance: &InstanceStatus, now: Moment) {
    let words = if instance.ready { "has a login" } else { "has no login" };
    page.push_str(&format!(
        "<section class=\"instance\">\n<h2><span>{}</span> {}</h2>\n",
        escape(&instance.id),
        badge(instance.ready, words)
    ));
    push_domains(page, &instance.domains);
    if let Some(error) = &instance.last_error {
        push_error(page, error, instance.ready, now);
    }
    push_chain(page, &instance.hops, now);
    let pulled = instance.last_pull.map_or_else(|| "none yet".to_owned(), |at| ago(at, now));
    page.push_str(&format!("<p class=\"quiet\">Last pull answered in full: {pulled}.</p>\n</section>\n"));
}

fn push_domains(page: &mut String, domains: &[String]) {
    if domains.is_empty() {
        page.push_str("<p class=\"quiet\">Its domains are not known yet; they are asked of the cloud.</p>\n");
        return;
    }
    page.push_str("<ul class=\"domains\">\n");
    for domain in domains {
        page.push_str(&format!("<li><code>{}</code></li>\n", escape(domain)));
    }
    page.push_str("</ul>\n");
}

fn push_error(page: &mut String, error: &ErrorStatus, ready: bool, now: Moment) {
    let (class, heading) =
        if ready { ("problem mild", "Renewing fails; pulls still work") } else { ("problem", "Pulls fail") };
    page.push_str(&format!(
        "<div class=\"{class}\">\n<h3>{heading}</h3>\n<p>{}: {}</p>\n\
         <p><strong>Likely cause:</strong> {}.</p>\n<p><strong>Who has to act:</strong> {}</p>\n",
        ago(error.at, now),
        escape(&error.text),
        escape(error.cause),
        escape(error.who)
    ));
    if let Some(advice) = &error.advice {
        page.push_str(&format!("<p><strong>What to do:</strong> {}.</p>\n", escape(advice)));
    }
    if let Some(id) = &error.request_id {
        page.push_str(&format!("<p class=\"quiet\">Request id at the cloud: <code>{}</code></p>\n", escape(id)));
    }
    page.push_str("</div>\n");
}

fn push_chain(page: &mut String, hops: &[HopStatus], now: Moment) {
    page.push_str("<ol class=\"chain\">\n");
    let mut fails_above = false;
    for hop in hops {
        let life = Life::of(hop, now);
        let class = if hop.failing && !fails_above { "failing" } else { life.class };
        page.push_str(&format!("<li class=\"{class}\">\n<h3>{}</h3>\n", escape(title(&hop.hop))));
        page.push_str(&format!("<p class=\"name\"><code>{}</code></p>\n", escape(&hop.name)));
        page.push_str(&life.bar);
        page.push_str(&format!("<p class=\"life\">{}</p>\n", life.words));
        if hop.failing {
            let words = if fails_above { "Waits for the step above." } else { "✗ The last attempt failed here." };
            page.push_str(&format!("<p class=\"fails\">{words}</p>\n"));
        }
        fails_above |= hop.failing;
        if let Some(note) = &hop.note {
            page.push_str(&format!("<p class=\"note\">{}</p>\n", escape(note)));
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ol>\n");
}

/// A step in words; the label of the metrics where there are none.
fn title(hop: &str) -> &str {
    match hop {
        "oidc" => "Service account token",
        "metadata" => "First credential",
        "assume_role" => "Assumed role",
        "authorization_token" => "Registry login",
        other => other,
    }
}

/// How long what a step holds still lives, as words and as a bar of that length.
struct Life {
    class: &'static str,
    bar: String,
    words: String,
}

impl Life {
    fn of(hop: &HopStatus, now: Moment) -> Self {
        let (issued, expires) = match (hop.issued, hop.expires) {
            (Some(issued), Some(expires)) => (issued, expires),
            (Some(issued), None) => {
                let words = format!("Does not expire; in use since {}.", ago(issued, now));
                return Self { class: "held", bar: String::new(), words };
            }
            (None, _) => {
                return Self { class: "none", bar: bar(0.0, "nothing is held"), words: "Nothing is held.".into() };
            }
        };
        let (whole, left) = (until(issued.0, expires.0), until(now.0, expires.0));
        let share = if whole.is_zero() { 0.0 } else { (left.as_secs_f64() / whole.as_secs_f64()).min(1.0) };
        if left.is_zero() {
            let words = format!("✗ Expired {}.", ago(expires, now));
            return Self { class: "dead", bar: bar(0.0, "expired"), words };
        }
        let told = format!("{} of {} left", duration(left), duration(whole));
        let words = format!("{}, renewed {}", time(expires, &told), ago(issued, now));
        let late = share < DUE_SHARE;
        let (class, end) = if late { ("late", "; its renewal is overdue.") } else { ("held", ".") };
        Self { class, bar: bar(share, &told), words: words + end }
    }
}

/// A bar of which `share` is filled. An image, so that no style of an element is needed, which the page forbids itself.
fn bar(share: f64, words: &str) -> String {
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
         <rect class=\"life-left\" width=\"{:.1}\" height=\"4\"></rect></svg>\n",
        escape(words),
        share * 100.0
    )
}
