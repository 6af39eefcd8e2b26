//! Where the tables of a `hosts.toml` stand in its text.

use toml_edit::{Document, Item, Table};

use super::MergeError;

/// The places of headers and hosts in a text.
pub(super) struct Tables<'a> {
    text: &'a str,
    document: Document<&'a str>,
    hosts: Vec<String>,
}

impl<'a> Tables<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, MergeError> {
        if text.starts_with('\u{feff}') {
            return Err(MergeError::NotToml("it starts with a byte order mark".to_owned()));
        }
        let document = Document::parse(text).map_err(|error| MergeError::NotToml(error.message().to_owned()))?;
        let hosts = match document.get("host") {
            None => Vec::new(),
            Some(Item::Table(table)) => hosts(table)?,
            Some(_) => return Err(MergeError::Form("'host' is no table")),
        };
        Ok(Self { text, document, hosts })
    }

    /// The URLs of the hosts, in the order of the text.
    pub(super) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Where the first host but these begins, the comment right above it included.
    pub(super) fn first_host(&self, ahead: &[String]) -> Option<usize> {
        let mut headers = Vec::new();
        for (name, item) in self.host_table().into_iter().flat_map(Table::iter) {
            if !ahead.iter().any(|host| host == name) {
                collect_headers(item, &mut headers);
            }
        }
        headers.into_iter().min().map(|at| self.above_comment(at))
    }

    /// The start of the root's `server` line.
    pub(super) fn server(&self) -> Result<Option<usize>, MergeError> {
        let Some((key, Item::Value(value))) = self.document.get_key_value("server") else { return Ok(None) };
        let (Some(key), Some(value)) = (key.span(), value.span()) else { return Ok(None) };
        if self.text.get(key.start..value.end).is_none_or(|text| text.contains('\n')) {
            return Err(MergeError::Form("'server' on more than one line"));
        }
        Ok(Some(self.line_start(key.start)))
    }

    /// The text without the tables of one host.
    pub(super) fn without_host(&self, url: &str) -> String {
        let Some(item) = self.host_table().and_then(|hosts| hosts.get(url)) else { return self.text.to_owned() };
        let mut all = Vec::new();
        for (_, item) in self.document.iter() {
            collect_headers(item, &mut all);
        }
        all.sort_unstable();
        let mut own = Vec::new();
        collect_headers(item, &mut own);
        own.sort_unstable();

        let mut text = self.text.to_owned();
        for start in own.iter().rev() {
            let next = all.iter().find(|at| *at > start);
            let end = match next {
                Some(next) if own.contains(next) => self.line_start(*next),
                Some(next) => self.above_comment(*next),
                None => self.text.len(),
            };
            text.replace_range(self.line_start(*start)..end, "");
        }
        text
    }

    fn host_table(&self) -> Option<&Table> {
        self.document.get("host").and_then(Item::as_table)
    }

    /// The start of the run of comment lines that ends right above the header at `at`.
    fn above_comment(&self, at: usize) -> usize {
        let mut start = self.line_start(at);
        while let Some(line) = self.text.get(..start).and_then(|head| head.split_inclusive('\n').next_back()) {
            if !line.trim_start().starts_with('#') {
                break;
            }
            start -= line.len();
        }
        start
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|head| head.rfind('\n')).map_or(0, |newline| newline + 1)
    }
}

/// The keys below `host`, by their place.
fn hosts(table: &Table) -> Result<Vec<String>, MergeError> {
    let mut found = Vec::new();
    for (name, _) in table {
        let span = table.key(name).and_then(toml_edit::Key::span);
        let span = span.ok_or(MergeError::Form("a host without a place"))?;
        found.push((span.start, name.to_owned()));
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

/// The starts of all `[headers]` at and below an item.
fn collect_headers(item: &Item, found: &mut Vec<usize>) {
    let mut of_table = |table: &Table| {
        if !table.is_implicit() && !table.is_dotted() {
            found.extend(table.span().map(|span| span.start));
        }
        for (_, item) in table {
            collect_headers(item, found);
        }
    };
    match item {
        Item::Table(table) => of_table(table),
        Item::ArrayOfTables(tables) => tables.iter().for_each(of_table),
        Item::None | Item::Value(_) => {}
    }
}
