//! How containerd on this node is set up, on the page.

use super::badge;
use super::html::escape;
use crate::admin::status::ContainerdStatus;

pub(super) fn push(page: &mut String, containerd: &ContainerdStatus) {
    page.push_str("<section>\n<h2>containerd on this node</h2>\n");
    match &containerd.certs_dir {
        Some(directory) => page.push_str(&format!("<p>Reads <code>{}</code>.</p>\n", escape(directory))),
        None => page.push_str("<p>No directory with <code>hosts.toml</code> files was found.</p>\n"),
    }
    page.push_str("<ul class=\"checks\">\n");
    for domain in &containerd.domains {
        let state = badge(domain.good, &domain.state);
        page.push_str(&format!("<li><code>{}</code> {state}</li>\n", escape(&domain.domain)));
    }
    page.push_str("</ul>\n");
    for finding in &containerd.findings {
        page.push_str(&format!(
            "<div class=\"problem\"><p>{}</p><p><strong>What to do:</strong> {}</p></div>\n",
            escape(&finding.text),
            escape(&finding.fix)
        ));
    }
    page.push_str("</section>\n");
}
