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
}

impl Default for Lookup {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), containerd: PathBuf::from("containerd"), config: None, certs_dir: None }
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
    /// What keeps containerd from reading our entry. Nothing should be installed unless this is empty.
    pub findings: Vec<Finding>,
}

/// Finds out where containerd looks for mirrors, and what keeps it from doing so. May run `containerd`.
#[must_use]
pub fn discover(lookup: &Lookup) -> Discovery {
    let version = run(&lookup.containerd, &["--version"]).ok().and_then(|output| Version::of_output(&output));
    if let Some(directory) = &lookup.certs_dir {
        return named(directory, lookup.config.as_deref(), version);
    }
    match read(lookup) {
        Ok((source, settings, rewriter)) => {
            let mut findings = settings.findings(version);
            findings.extend(rewriter.map(Finding::rewritten));
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

type Found = (String, Settings, Option<&'static str>);

/// The settings, where they were read, and who writes them at each start; or what was tried, and why it failed.
fn read(lookup: &Lookup) -> Result<Found, (String, String)> {
    if let Some(path) = &lookup.config {
        let rewriter = REWRITERS.iter().find(|(_, generated)| path.ends_with(generated));
        return file(path)
            .map(|settings| (path.display().to_string(), settings, rewriter.map(|(platform, _)| *platform)));
    }
    for (platform, path) in REWRITERS {
        let path = lookup.root.join(path);
        if path.exists() {
            return file(&path).map(|settings| (path.display().to_string(), settings, Some(platform)));
        }
    }
    // The merged configuration, defaults and imports included, as this containerd understands it.
    let dump = "containerd config dump";
    let asked = run(&lookup.containerd, &["config", "dump"]);
    if let Ok(text) = asked {
        let mut settings = Settings::default();
        let laid = settings.lay_over(&text, Path::new("/"));
        return match laid {
            Ok(_) => Ok((dump.to_owned(), settings, None)),
            Err(error) => Err((dump.to_owned(), format!("the answer of '{dump}' is not TOML: {error}"))),
        };
    }
    let path = lookup.root.join(CONFIG);
    file(&path).map(|settings| (path.display().to_string(), settings, None))
}

/// A configuration file with its imports laid over it.
fn file(path: &Path) -> Result<Settings, (String, String)> {
    let mut settings = Settings::default();
    lay_over(&mut settings, path, 0).map_err(|text| (path.display().to_string(), text))?;
    Ok(settings)
}

fn lay_over(settings: &mut Settings, path: &Path, depth: usize) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let imports = settings.lay_over(&text, path).map_err(|error| format!("{}: {error}", path.display()))?;
    if depth < DEEPEST_IMPORT {
        for import in imports.iter().flat_map(|pattern| matching(pattern)) {
            lay_over(settings, &import, depth + 1)?;
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
            findings.extend(elsewhere(&settings.roots(), directory).map(Finding::elsewhere));
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
