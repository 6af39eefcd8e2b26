//! Finds the directory that containerd reads `hosts.toml` files from: out of its own merged configuration where it can be
//! asked, else out of its files.

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::certs_dir::CertsDir;
use super::config_toml::Settings;
use super::finding::{Finding, Kind};
use super::process::{self, Running};
use super::version::Version;

/// Where containerd has its configuration unless told otherwise (containerd, man containerd-config.toml).
const CONFIG: &str = "etc/containerd/config.toml";

/// Distributions that bring a containerd of their own and write its files at each start, by the configuration that they
/// generate (their documentation, "Private registry configuration").
const REWRITERS: [(&str, &str); 2] = [
    ("k3s", "var/lib/rancher/k3s/agent/etc/containerd/config.toml"),
    ("rke2", "var/lib/rancher/rke2/agent/etc/containerd/config.toml"),
];

/// Names of the directory that are in use: upstream's, and that of some ACK node images.
const USUAL: [&str; 2] = ["etc/containerd/certs.d", "etc/containerd/cert.d"];

/// Deepest nesting of `imports` that is followed, so that files which import each other come to an end.
const DEEPEST_IMPORT: usize = 8;

/// Where to look.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The root of the node's file system.
    pub root: PathBuf,
    /// The containerd program.
    pub containerd: PathBuf,
    /// `--containerd-config`: read this file, whatever else there is.
    pub config: Option<PathBuf>,
    /// `--certs-dir`: use this directory. Beside `config`, that is examined, too.
    pub certs_dir: Option<PathBuf>,
    /// Where entries are to lead, as `http://127.0.0.1:7080`, for what is to be pasted; `None`: not known.
    pub mirror: Option<String>,
}

impl Default for Lookup {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            containerd: PathBuf::from("containerd"),
            config: None,
            certs_dir: None,
            mirror: None,
        }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Discovery {
    /// Where containerd looks for mirrors; empty where that is not known.
    pub certs_dir: CertsDir,
    /// Where that was read.
    pub source: String,
    /// The version of containerd, where it could be asked.
    pub version: Option<Version>,
    /// What keeps containerd from reading our entry, and what is worth knowing. Nothing should be installed while one
    /// [is in the way](super::Kind::is_in_the_way).
    pub findings: Vec<Finding>,
}

/// Finds out where containerd looks for mirrors, and what keeps it from doing so. May run `containerd`.
#[must_use]
pub fn discover(lookup: &Lookup) -> Discovery {
    let version = run(&lookup.containerd, &["--version"]).ok().and_then(|output| Version::of_output(&output));
    if let Some(directory) = &lookup.certs_dir {
        return named(directory, lookup.config.as_deref(), version);
    }
    let running = process::running(&lookup.root);
    let place = Place::of(lookup, &running);
    match place.read(lookup) {
        Ok((source, settings)) => {
            let settings = settings.with_defaults(version);
            let mut findings = settings.findings(version);
            findings.extend(place.rewriter.map(|platform| Finding::rewritten(platform, lookup.mirror.as_deref())));
            findings.extend(place.unread(&running).map(|file| Finding::not_restarted(&file)));
            Discovery { certs_dir: CertsDir::new(settings.roots()), source, version, findings }
        }
        Err((source, text)) => {
            let mut finding = Finding::unreadable(text);
            for usual in USUAL.iter().map(|usual| lookup.root.join(usual)).filter(|usual| usual.is_dir()) {
                finding.fix.push_str(&format!("; there is a directory {}", usual.display()));
            }
            Discovery { certs_dir: CertsDir::new(Vec::new()), source, version, findings: vec![finding] }
        }
    }
}

/// The configuration that is read.
#[derive(Debug)]
struct Place {
    file: PathBuf,
    /// Whether the file is where containerd looks by itself.
    usual: bool,
    /// Whether containerd is asked before its files are, as it is unless somebody else's word stands.
    ask: bool,
    /// Who writes it at each start.
    rewriter: Option<&'static str>,
}

impl Place {
    fn of(lookup: &Lookup, running: &[Running]) -> Self {
        let rewriter_of = |path: &Path| REWRITERS.iter().find(|(_, generated)| path.ends_with(generated));
        if let Some(file) = lookup.config.clone() {
            let rewriter = rewriter_of(&file).map(|(platform, _)| *platform);
            return Self { file, usual: false, ask: false, rewriter };
        }
        for (platform, generated) in REWRITERS {
            let file = lookup.root.join(generated);
            if file.exists() {
                return Self { file, usual: false, ask: false, rewriter: Some(platform) };
            }
        }
        // One that was started with a file of its own counts only where none runs with the usual one.
        let named = running.iter().map(|running| running.config.as_deref()).collect::<Option<Vec<_>>>();
        match named.unwrap_or_default().first() {
            Some(file) => Self { file: below(&lookup.root, file), usual: false, ask: true, rewriter: None },
            None => Self { file: lookup.root.join(CONFIG), usual: true, ask: true, rewriter: None },
        }
    }

    /// The settings and where they were read; or what was tried, and why it failed.
    fn read(&self, lookup: &Lookup) -> Result<(String, Settings), (String, String)> {
        if self.ask {
            // The merged configuration, defaults and imports included, as this containerd understands it.
            let file = self.file.to_string_lossy();
            let arguments: &[&str] =
                if self.usual { &["config", "dump"] } else { &["--config", &file, "config", "dump"] };
            let dump = format!("containerd {}", arguments.join(" "));
            if let Ok(text) = run(&lookup.containerd, arguments) {
                let mut settings = Settings::default();
                return match settings.lay_over(&text, Path::new("/")) {
                    Ok(_) => Ok((dump, settings)),
                    Err(error) => Err((dump.clone(), format!("the answer of '{dump}' is not TOML: {error}"))),
                };
            }
        }
        file(&self.file).map(|settings| (self.file.display().to_string(), settings))
    }

    /// The file, of this and of its imports, that the containerd which was started with it has not read.
    fn unread(&self, running: &[Running]) -> Option<PathBuf> {
        let is_this = |running: &&Running| match &running.config {
            Some(config) => self.file.ends_with(config.strip_prefix("/").unwrap_or(config)),
            None => self.file.ends_with(CONFIG),
        };
        let mut files = Vec::new();
        // One that cannot be read is told elsewhere.
        lay_over(&mut Settings::default(), &self.file, 0, &mut files).ok();
        running.iter().find(is_this)?.unread(&files).map(Path::to_path_buf)
    }
}

/// An absolute path of the node, below the root that its files are looked for in.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A configuration file with its imports laid over it.
fn file(path: &Path) -> Result<Settings, (String, String)> {
    let mut settings = Settings::default();
    lay_over(&mut settings, path, 0, &mut Vec::new()).map_err(|text| (path.display().to_string(), text))?;
    Ok(settings)
}

fn lay_over(settings: &mut Settings, path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    files.push(path.to_path_buf());
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let imports = settings.lay_over(&text, path).map_err(|error| format!("{}: {error}", path.display()))?;
    if depth < DEEPEST_IMPORT {
        for import in imports.iter().flat_map(|pattern| matching(pattern)) {
            lay_over(settings, &import, depth + 1, files)?;
        }
    }
    Ok(())
}

/// The directory that somebody has named; a configuration named beside it says whether containerd would read it.
fn named(directory: &Path, config: Option<&Path>, version: Option<Version>) -> Discovery {
    let (source, findings) = match config.map(|path| (path.display(), file(path))) {
        None => ("--certs-dir".to_owned(), Vec::new()),
        // Who names the directory knows it; on k3s there is no such file.
        Some((path, Err(_))) => (format!("--certs-dir; {path} cannot be read"), Vec::new()),
        Some((path, Ok(settings))) => {
            let mut findings = settings.findings(version);
            findings.extend(elsewhere(&settings.roots(), directory).as_deref().map(Finding::elsewhere));
            let unsure = version.is_none() && settings.roots().is_empty();
            if unsure {
                findings.retain(|finding| finding.kind != Kind::NoConfigPath);
            }
            let doubt =
                if unsure { ", which has no config_path; before 2.2 containerd then reads no hosts.toml" } else { "" };
            (format!("--certs-dir and {path}{doubt}"), findings)
        }
    };
    Discovery { certs_dir: CertsDir::new(vec![directory.to_path_buf()]), source, version, findings }
}

/// Where containerd looks instead, if that is certain: each of its directories is here to be compared, and none of them
/// is this one, also by another name (a mount into a container).
fn elsewhere(roots: &[PathBuf], directory: &Path) -> Option<String> {
    let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let this = identity(directory)?;
    let others: Vec<_> = roots.iter().map(|root| identity(root)).collect::<Option<_>>()?;
    let roots = roots.iter().map(|root| root.display().to_string());
    (!others.is_empty() && !others.contains(&this)).then(|| roots.collect::<Vec<_>>().join(" and "))
}

/// The files that a pattern of `imports` names, in the order of their names. `*` is understood in the last component,
/// where `conf.d/*.toml` has it; a file that is named outright and absent is left to containerd to complain about.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let Some((head, tail)) = name.split_once('*') else {
        return Some(pattern.to_path_buf()).filter(|path| path.is_file()).into_iter().collect();
    };
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    };
    let entries = fs::read_dir(pattern.parent().unwrap_or(Path::new("/"))).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(fits).collect();
    files.sort();
    files
}

fn run(program: &Path, arguments: &[&str]) -> Result<String, ()> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().map_err(|_| ())?;
    if output.status.success() { String::from_utf8(output.stdout).map_err(|_| ()) } else { Err(()) }
}
