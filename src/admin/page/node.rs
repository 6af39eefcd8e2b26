//! How containerd on this node is set up, on the page.

use super::html::escape;
use super::{badge, mark};
use crate::admin::status::{ContainerdStatus, FindingStatus};

pub(super) fn push(page: &mut String, containerd: &ContainerdStatus) {
    page.push_str("<section>\n<h2>containerd on this node</h2>\n");
    if let Some(unseen) = &containerd.unseen {
        page.push_str("<p>Whether it asks this daemon is not known: its set-up cannot be seen from here.</p>\n");
        push_finding(page, unseen);
        page.push_str("</section>\n");
        return;
    }
    match &containerd.certs_dir {
        Some(directory) => page.push_str(&format!("<p>Reads <code>{}</code>.</p>\n", escape(directory))),
        None => page.push_str("<p>No directory with <code>hosts.toml</code> files was found.</p>\n"),
    }
    page.push_str("<ul class=\"checks\">\n");
    for domain in &containerd.domains {
        let state = match (domain.good, &domain.fix) {
            (true, Some(_)) => mark("doubtful", "!", &domain.state),
            (good, _) => badge(good, &domain.state),
        };
        page.push_str(&format!("<li><code>{}</code> {state}", escape(&domain.domain)));
        if let Some(fix) = &domain.fix {
            page.push_str(&format!("<p class=\"note\"><strong>What to do:</strong> {}.</p>", escape(fix)));
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ul>\n");
    for finding in &containerd.findings {
        push_finding(page, finding);
    }
    page.push_str("</section>\n");
}

fn push_finding(page: &mut String, finding: &FindingStatus) {
    page.push_str(&format!(
        "<div class=\"problem{}\"><p>{}</p><p><strong>What to do:</strong> {}</p></div>\n",
        if finding.mild { " mild" } else { "" },
        escape(&finding.text),
        escape(&finding.fix)
    ));
}
