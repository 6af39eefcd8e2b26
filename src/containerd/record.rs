//! The installer's record: what each file was before we touched it.
//!
//! Our entry can be taken out of a file without it, by the markers. The record adds what the markers cannot know: that
//! a file was there and empty, its mode, and an entry that `--force` replaced.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::{NodeError, write};

/// The record's file in the state directory.
const FILE: &str = "hosts.json";
/// The form of the record.
const VERSION: u32 = 1;
/// The originals may hold secrets of the admin's, such as headers.
const FILE_MODE: u32 = 0o600;
/// Mode of a state directory that we make.
const DIRECTORY_MODE: u32 = 0o755;
/// Versions of ours that are remembered per file: the one before, should we be killed in front of the new one.
const WRITTEN: usize = 2;

/// What each file was.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    version: u32,
    files: BTreeMap<PathBuf, Original>,
}

/// What a file was before we touched it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Original {
    /// Its text; `None`: it was not there.
    pub(super) text: Option<String>,
    /// Its permissions.
    pub(super) mode: u32,
    /// Whether its directory was there.
    pub(super) directory: bool,
    /// SHA-256 of what we wrote, the latest last.
    written: Vec<String>,
}

impl Original {
    pub(super) const fn new(text: Option<String>, mode: u32, directory: bool) -> Self {
        Self { text, mode, directory, written: Vec::new() }
    }

    /// Whether a text is as we left it.
    pub(super) fn is_written(&self, text: &str) -> bool {
        self.written.contains(&sha256(text))
    }
}

impl Record {
    /// Reads the record of a state directory; an empty one where there is none yet.
    ///
    /// # Errors
    /// [`NodeError`] where it cannot be read or understood.
    pub fn open(state_dir: &Path) -> Result<Self, NodeError> {
        let path = state_dir.join(FILE);
        Ok(Self { content: Content::read(&path)?, path })
    }

    /// Reads it again, for a run that had to wait for another.
    pub(super) fn reload(&mut self) -> Result<(), NodeError> {
        self.content = Content::read(&self.path)?;
        Ok(())
    }

    /// The directories of domains in which files were changed.
    #[must_use]
    pub fn certs_dirs(&self) -> Vec<PathBuf> {
        let of_file = |file: &PathBuf| file.parent()?.parent().map(Path::to_path_buf);
        let mut directories: Vec<_> = self.content.files.keys().filter_map(of_file).collect();
        directories.dedup();
        directories
    }

    pub(super) fn original(&self, file: &Path) -> Option<&Original> {
        self.content.files.get(file)
    }

    /// Remembers, before a file is written, what it was and what it becomes.
    pub(super) fn remember(&mut self, file: &Path, original: &Original, text: &str) -> Result<(), NodeError> {
        let mut original = original.clone();
        let hash = sha256(text);
        original.written.retain(|written| *written != hash);
        original.written.push(hash);
        let surplus = original.written.len().saturating_sub(WRITTEN);
        original.written.drain(..surplus);
        self.content.files.insert(file.to_path_buf(), original);
        self.save()
    }

    /// Forgets a file that is as it was.
    pub(super) fn forget(&mut self, file: &Path) -> Result<(), NodeError> {
        if self.content.files.remove(file).is_none() {
            return Ok(());
        }
        if !self.content.files.is_empty() {
            return self.save();
        }
        write::remove(&self.path)?;
        // A hidden one is ours alone, beside the entries; /var/lib/acr-pull-proxy is the daemon's, too.
        let directory = self
            .path
            .parent()
            .filter(|directory| directory.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
        if let Some(directory) = directory {
            // Where somebody has put something into it, it stays.
            fs::remove_dir(directory).ok();
        }
        Ok(())
    }

    fn save(&self) -> Result<(), NodeError> {
        if let Some(directory) = self.path.parent() {
            write::create_directory(directory, DIRECTORY_MODE)?;
        }
        let text = serde_json::to_string_pretty(&self.content)
            .map_err(|source| NodeError::Record { path: self.path.clone(), source })?;
        write::replace(&self.path, &(text + "\n"), FILE_MODE)
    }
}

impl Content {
    fn read(path: &Path) -> Result<Self, NodeError> {
        match write::read(path)? {
            None => Ok(Self { version: VERSION, files: BTreeMap::new() }),
            Some(text) => {
                serde_json::from_str(&text).map_err(|source| NodeError::Record { path: path.to_path_buf(), source })
            }
        }
    }
}

fn sha256(text: &str) -> String {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
