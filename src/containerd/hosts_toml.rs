//! A `hosts.toml`, taken apart into what is ours and what is not, and put together again.
//!
//! The work is done on text: what is not ours is never parsed and printed again, so not one byte of it can change, and
//! taking our part out gives the text from before. TOML is read only to find where our entry belongs, and to prove that
//! the result is what containerd is to see.

mod tables;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest;

use super::entry::{Entry, Server};
use tables::Tables;

/// How the line above our entry begins; version and hash follow.
const BEGIN: &str = "# acr-pull-proxy begin ";
/// The line below our entry.
const END: &str = "# acr-pull-proxy end";
/// The end of a `server` line of ours.
const SERVER_MARK: &str = " # acr-pull-proxy";
/// How the line begins that keeps a `server` line which ours replaces.
const KEPT: &str = "# acr-pull-proxy keeps: ";
/// What the line above our entry tells people.
const NOTE: &str = "'acr-pull-proxy hosts install' wrote this and 'hosts uninstall' removes it; what you change stays";

/// Hex digits of the hash in a marker: it has to show an edit, not to withstand a forger.
const HASH_DIGITS: usize = 16;

/// Whether our entry is in a file, and whether it is still as we wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// No entry between our markers.
    Absent,
    /// As we wrote it.
    Intact,
    /// Somebody has changed it since.
    Altered,
}

/// Why a file cannot take our entry.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// containerd cannot read it either, and goes straight to the registry.
    #[error("is not TOML, so containerd ignores it: {0}")]
    NotToml(String),
    /// Its hosts are written in a form in which ours cannot be put first.
    #[error("has its hosts in a form that lets no other come first: {0}")]
    Form(&'static str),
}

impl MergeError {
    /// The next step.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NotToml(_) => "correct the file, then install again",
            Self::Form(_) => "write each host as a table of its own, [host.\"https://...\"], then install again",
        }
    }
}

/// A file, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsToml {
    foreign: String,
    ours: Option<Ours>,
    /// Whether ours is without its markers, and known by another file.
    copied: bool,
    /// The hosts that are asked before ours.
    ahead: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Ours {
    /// Our `server` line, without its end.
    server: Option<String>,
    /// The lines between the markers.
    body: String,
    /// The hash that the marker names.
    hash: String,
}

impl HostsToml {
    /// Takes a text apart by our markers. A marker without its other half is taken for a comment of somebody else.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (mut foreign, mut server, mut block) = (String::new(), None, None);
        let mut at = 0;
        while let Some(line) = lines.get(at).copied() {
            let next = lines.get(at + 1).copied().unwrap_or_default();
            let end = lines.iter().skip(at).position(|line| line.trim_end() == END);
            if let (Some(kept), true) = (line.strip_prefix(KEPT), is_server(next) && server.is_none()) {
                foreign.push_str(kept);
                if !next.ends_with('\n') {
                    drop_newline(&mut foreign);
                }
                server = Some(next.trim_end().to_owned());
                at += 2;
            } else if is_server(line) && server.is_none() {
                server = Some(line.trim_end().to_owned());
                at += 1 + usize::from(next == "\n");
            } else if let (Some(marker), Some(end), None) = (line.strip_prefix(BEGIN), end, &block) {
                block = Some((marker.to_owned(), lines.iter().skip(at + 1).take(end - 1).copied().collect::<String>()));
                at += end;
                if lines.get(at).is_some_and(|line| !line.ends_with('\n')) {
                    drop_newline(&mut foreign);
                }
                at += 1 + usize::from(lines.get(at + 1) == Some(&"\n"));
            } else {
                foreign.push_str(line);
                at += 1;
            }
        }
        match block {
            Some((marker, body)) => {
                let hash = marker.split("sha256:").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                let ours = Some(Ours { server, body, hash: hash.trim_end().to_owned() });
                Self { foreign, ours, copied: false, ahead: Vec::new() }
            }
            None => Self { foreign: text.to_owned(), ours: None, copied: false, ahead: Vec::new() },
        }
    }

    /// The same where another program copies hosts out of the file `kept`, without their comments: a host that is ours
    /// there is ours here, and those that are not there are asked before it.
    #[must_use]
    pub(super) fn beside(mut self, kept: &Self) -> Self {
        if self.ours.is_none()
            && let Some(ours) = &kept.ours
            && let Some(mirror) = ours.mirror()
            && self.names_by_hand(&mirror)
            && let Ok(tables) = Tables::read(&self.foreign)
        {
            self.foreign = tables.without_host(&mirror).trim_end().to_owned();
            (self.ours, self.copied) = (Some(ours.clone()), true);
        }
        let others = kept.other_hosts();
        self.ahead = self.other_hosts().into_iter().filter(|host| !others.contains(host)).collect();
        self
    }

    /// Whether ours is a copy that says what this entry says.
    #[must_use]
    pub(super) fn is_copy_of(&self, entry: &Entry) -> bool {
        self.copied && self.ours.as_ref().is_some_and(|ours| ours.body == entry.render())
    }

    /// The text without what we added: byte for byte what it was before, and with every edit since.
    #[must_use]
    pub fn foreign(&self) -> &str {
        &self.foreign
    }

    /// Whether our entry is there and untouched.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        match &self.ours {
            None => Ownership::Absent,
            Some(ours) if ours.hash == hash(ours.server.as_deref(), &ours.body) => Ownership::Intact,
            Some(_) => Ownership::Altered,
        }
    }

    /// Whether a host of this URL is there that is not between our markers.
    #[must_use]
    pub fn names_by_hand(&self, mirror: &str) -> bool {
        Tables::read(&self.foreign).is_ok_and(|tables| tables.hosts().iter().any(|host| host == mirror))
    }

    /// The URLs of all hosts of a text, in their order; none where it is not TOML.
    pub(super) fn hosts(text: &str) -> Vec<String> {
        Tables::read(text).map(|tables| tables.hosts().to_vec()).unwrap_or_default()
    }

    /// The URLs of the other hosts, in their order; none where the text is not TOML.
    #[must_use]
    pub fn other_hosts(&self) -> Vec<String> {
        Self::hosts(&self.foreign)
    }

    /// The text with this entry in front of all hosts but those that are asked before ours, in the place of ours from before and of one of the same URL that
    /// somebody wrote by hand.
    ///
    /// # Errors
    /// [`MergeError`] where the text is not TOML or its hosts are written in a form that ours cannot precede.
    pub fn with(&self, entry: &Entry, server: &Server) -> Result<String, MergeError> {
        let base = Tables::read(&self.foreign)?.without_host(entry.mirror());
        let tables = Tables::read(&base)?;
        let own_file = base.trim().is_empty();
        let line = (own_file || *server == Server::Strict).then(|| server.render(entry) + SERVER_MARK);
        let body = entry.render();
        let marker = format!("{BEGIN}{} sha256:{} - {NOTE}\n", env!("CARGO_PKG_VERSION"), hash(line.as_deref(), &body));

        let mut text = insert_block(&base, tables.first_host(&self.ahead), &format!("{marker}{body}{END}"));
        if let Some(line) = &line {
            // Root keys stand above every table, so their place is not moved by the block.
            text = match tables.server()? {
                Some(place) => replace_line(&text, place, line),
                None => format!("{line}\n\n{text}"),
            };
        }
        self.prove(&text, &base, entry)?;
        Ok(text)
    }

    /// That the result is TOML, has our host in its place and all others as before, and can be taken apart again.
    fn prove(&self, text: &str, base: &str, entry: &Entry) -> Result<(), MergeError> {
        let mut wanted = Tables::read(base)?.hosts().to_vec();
        let place = wanted.iter().position(|host| !self.ahead.contains(host)).unwrap_or(wanted.len());
        wanted.insert(place, entry.mirror().to_owned());
        if Tables::read(text)?.hosts() != wanted {
            return Err(MergeError::Form("inline tables or dotted keys"));
        }
        let again = Self::parse(text);
        if again.foreign != base || again.ownership() != Ownership::Intact {
            return Err(MergeError::Form("lines that look like our markers"));
        }
        Ok(())
    }
}

impl Ours {
    /// The URL of the host.
    fn mirror(&self) -> Option<String> {
        Tables::read(&self.body).ok()?.hosts().first().cloned()
    }
}

fn is_server(line: &str) -> bool {
    line.starts_with("server") && line.trim_end().ends_with(SERVER_MARK)
}

fn drop_newline(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
    }
}

/// Puts the block in front of the byte `before`, with an empty line behind it; or at the end, where a text without a
/// last line end stays one, so that it can be found again.
fn insert_block(base: &str, before: Option<usize>, block: &str) -> String {
    match before.and_then(|at| base.split_at_checked(at)) {
        Some((head, tail)) => format!("{head}{block}\n\n{tail}"),
        None if base.is_empty() || base.ends_with('\n') => format!("{base}{block}\n"),
        None => format!("{base}\n{block}"),
    }
}

/// Turns the line at `place` into a comment that keeps it, and puts `line` below.
fn replace_line(text: &str, place: usize, line: &str) -> String {
    let (head, rest) = text.split_at_checked(place).unwrap_or((text, ""));
    let old = rest.split_inclusive('\n').next().unwrap_or_default();
    let tail = rest.strip_prefix(old).unwrap_or_default();
    let end = if old.ends_with('\n') { "\n" } else { "" };
    format!("{head}{KEPT}{}\n{line}{end}{tail}", old.strip_suffix('\n').unwrap_or(old))
}

fn hash(server: Option<&str>, body: &str) -> String {
    let text = format!("{}\n{body}", server.unwrap_or_default());
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}
