//! From a region to the hosts of its APIs.

use std::fmt;
use std::sync::Arc;

/// A region id such as `cn-hangzhou`. The list is open: whatever has the form of one is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region(Arc<str>);

impl Region {
    /// Parses `^[a-z]{2}-[a-z0-9-]+$`; surrounding spaces are no part of it.
    ///
    /// # Errors
    /// A sentence that says what a region id looks like.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let form = text.split_once('-').is_some_and(|(area, rest)| {
            area.len() == 2
                && area.bytes().all(|byte| byte.is_ascii_lowercase())
                && !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
        if form { Ok(Self(text.into())) } else { Err("it must look like 'cn-hangzhou'") }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `endpoints` of the configuration; `None` follows the region.
#[derive(Debug, Clone, Default)]
pub struct Params {
    /// Host of STS.
    pub sts: Option<String>,
    /// Host of the Container Registry API.
    pub cr: Option<String>,
    /// Base URL of the metadata service, without a trailing slash; `None`: `http://100.100.100.200`.
    pub metadata: Option<String>,
    /// The node's own region, which STS is asked in; `None`: asked of the metadata service when it is first needed.
    pub node_region: Option<Region>,
}
