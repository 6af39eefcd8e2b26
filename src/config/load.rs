//! Finds out which of the formats a path holds, reads it, and lays environment and flags over it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::acr_configuration::{self, Surroundings};
use super::document::{self, Entry, Lines, Node, Value};
use super::environment::Environment;
use super::problem::{Findings, Place, Problem, Unusable};
use super::reader::Field;
use super::{Config, file};
use crate::telemetry::logs;

/// Longest configuration that is read. Two hundred instances have a tenth of it; a ConfigMap holds 1 MiB at most.
const LONGEST: u64 = 1 << 20;

/// What flags say; each beats the file. The command line has put the environment under them already.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--log-level`.
    pub log_level: Option<logs::Level>,
    /// `--log-format`.
    pub log_format: Option<logs::Format>,
}

/// A configuration and what is worth knowing about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Not wrong, but worth a line: keys without effect, secrets in clear text.
    pub notes: Vec<Problem>,
}

/// Reads the configuration at `path`: our file, a file with the incumbent's ConfigMap, or that ConfigMap mounted.
///
/// # Errors
/// [`Unusable`] with every problem there is, when the path cannot be read or anything in it is wrong.
pub fn load(path: &Path, environment: &Environment, overlay: &Overlay) -> Result<Loaded, Unusable> {
    let content = Content::read(path);
    content.load(path, environment, overlay)
}

/// What stands at a path, for reading it once and for noticing a change.
#[derive(PartialEq, Eq)]
pub(super) enum Content {
    /// The text of a file.
    File(String),
    /// The files of a mounted ConfigMap, by key.
    Directory(BTreeMap<String, String>),
    /// Neither; why.
    Unreadable(String),
}

impl Content {
    /// Reads the path now. Symlinks are followed, so a ConfigMap's swap shows as new content.
    pub(super) fn read(path: &Path) -> Self {
        let read = || {
            if path.is_dir() {
                read_directory(path).map(Self::Directory)
            } else {
                read_limited(path, LONGEST).map(Self::File)
            }
        };
        read().unwrap_or_else(|error| Self::Unreadable(error.to_string()))
    }

    pub(super) fn load(&self, path: &Path, environment: &Environment, overlay: &Overlay) -> Result<Loaded, Unusable> {
        let findings = Findings::default();
        let around = Surroundings { environment, overlay, findings: &findings };
        let config = match self {
            Self::File(text) => match document::parse(text, Lines::From(1)) {
                Ok(node) => read_document(&node, &around),
                Err(problem) => return Err(unusable(path, vec![problem], Vec::new())),
            },
            Self::Directory(files) if !files.contains_key(acr_configuration::INSTANCES) => {
                let text = format!("this directory has no file {}", acr_configuration::INSTANCES);
                let hint = "mount the ConfigMap acr-configuration there, or name the file of a configuration";
                findings.problem(&Place::default(), text, hint);
                None
            }
            Self::Directory(files) => {
                let node = acr_configuration::of_files(files.clone());
                acr_configuration::read_data(&Field::root(&node, &findings), &around)
            }
            Self::Unreadable(error) => {
                let text = format!("{} cannot be read: {error}", path.display());
                findings.problem(&Place::default(), text, "name the configuration with --config PATH");
                None
            }
        };
        if let Some(config) = &config {
            file::note_absent_files(config, &findings);
        }
        match (findings.into_parts(), config) {
            ((problems, notes), Some(config)) if problems.is_empty() => Ok(Loaded { config, notes }),
            ((problems, notes), _) => Err(unusable(path, problems, notes)),
        }
    }
}

fn unusable(path: &Path, problems: Vec<Problem>, notes: Vec<Problem>) -> Unusable {
    Unusable { source_name: path.display().to_string(), problems, notes }
}

fn read_document(node: &Node, around: &Surroundings<'_>) -> Option<Config> {
    let root = Field::root(node, around.findings);
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        Value::Null => {
            root.problem("the file is empty", "write 'instances:' with one entry per ACR instance");
            return None;
        }
        _ => &[],
    };
    match format(entries) {
        Format::ConfigMap => acr_configuration::read_config_map(&root, around),
        Format::Data => acr_configuration::read_data(&root, around),
        Format::Addon => acr_configuration::read_addon(&root, around),
        Format::Ours => file::read(&root, around.environment, around.overlay, around.findings),
    }
}

/// Which of the formats a document has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Ours,
    ConfigMap,
    Data,
    Addon,
}

fn format(entries: &[Entry]) -> Format {
    let has = |key: &str| entries.iter().any(|entry| entry.key == key);
    let is_config_map = entries.iter().any(|entry| {
        entry.key == "kind" && matches!(&entry.value.value, Value::Scalar(scalar) if scalar.text == "ConfigMap")
    });
    if is_config_map {
        Format::ConfigMap
    } else if has(acr_configuration::INSTANCES) {
        Format::Data
    } else if has(acr_configuration::ADDON_INSTANCES) {
        Format::Addon
    } else {
        Format::Ours
    }
}

/// Whether what stands at `path` is in our own format already, not in one of the incumbent's.
#[must_use]
pub fn is_ours(path: &Path) -> bool {
    let Content::File(text) = Content::read(path) else { return false };
    match document::parse(&text, Lines::From(1)) {
        Ok(Node { value: Value::Map(entries), .. }) => format(&entries) == Format::Ours,
        _ => false,
    }
}

/// Reads a text of at most `limit` bytes, in whole MiB. What never ends, such as a device, is read no further either.
pub(super) fn read_limited(path: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(text)
}

/// The files of a mounted ConfigMap. Names that begin with a dot belong to kubelet's own symlinks.
fn read_directory(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let file: PathBuf = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if !name.starts_with('.') && file.is_file() {
            let text = read_limited(&file, LONGEST);
            let text = text.map_err(|error| io::Error::new(error.kind(), format!("its file {name}: {error}")))?;
            files.insert(name, text);
        }
    }
    Ok(files)
}
