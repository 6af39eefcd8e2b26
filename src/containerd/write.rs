//! Changes of files that are whole at every instant: a process killed between any two system calls leaves the old file
//! or the new one, and at most a name of ours beside it that the next run removes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use super::NodeError;

/// The name under which a file is written before it takes its place. No registry host begins with a dot.
const NEW_FILE: &str = ".acr-pull-proxy.new";
/// The same for a directory with its file, beside the directories of the domains.
const NEW_DIRECTORY: &str = ".acr-pull-proxy.new.d";
/// The name under which a directory waits for its end.
const OLD_DIRECTORY: &str = ".acr-pull-proxy.old.d";

/// Directories that containerd reads, also where it does not run as root.
const DIRECTORY_MODE: u32 = 0o755;

/// Puts `text` in the place of the file, with the owner it had.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), NodeError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let new = parent.join(NEW_FILE);
    let write = || {
        create(&new, text, mode)?;
        if let Ok(old) = fs::metadata(path) {
            keep_owner(&new, &old)?;
        }
        fs::rename(&new, path)?;
        sync(parent)
    };
    write().map_err(NodeError::io("cannot write", path))
}

/// Puts a directory with one file into `parent` as one step. A directory without its file would hide `_default` from
/// containerd, if only for an instant.
pub(super) fn create_with_file(directory: &Path, file: &str, text: &str, mode: u32) -> Result<(), NodeError> {
    let parent = directory.parent().unwrap_or(Path::new("."));
    let new = parent.join(NEW_DIRECTORY);
    let write = || {
        remove_all(&new)?;
        fs::DirBuilder::new().mode(DIRECTORY_MODE).create(&new)?;
        fs::set_permissions(&new, Permissions::from_mode(DIRECTORY_MODE))?;
        create(&new.join(file), text, mode)?;
        sync(&new)?;
        fs::rename(&new, directory)?;
        sync(parent)
    };
    write().map_err(NodeError::io("cannot create", directory))
}

/// Takes a directory away as one step where this file is all it holds, else the file alone.
pub(super) fn remove_with_directory(directory: &Path, file: &str) -> Result<(), NodeError> {
    let parent = directory.parent().unwrap_or(Path::new("."));
    let old = parent.join(OLD_DIRECTORY);
    let alone = |entry: &io::Result<fs::DirEntry>| entry.as_ref().is_ok_and(|entry| entry.file_name() == file);
    let remove = || {
        if !fs::read_dir(directory)?.all(|entry| alone(&entry)) {
            fs::remove_file(directory.join(file))?;
            return sync(directory);
        }
        remove_all(&old)?;
        fs::rename(directory, &old)?;
        sync(parent)?;
        remove_all(&old)
    };
    remove().map_err(NodeError::io("cannot remove", directory))
}

/// Takes one file away.
pub(super) fn remove(path: &Path) -> Result<(), NodeError> {
    let remove = || {
        fs::remove_file(path)?;
        sync(path.parent().unwrap_or(Path::new(".")))
    };
    remove().map_err(NodeError::io("cannot remove", path))
}

/// Removes what a run that was killed has left in a directory of domains and in those of its domains.
pub(super) fn clean_up(certs_dir: &Path) -> Result<(), NodeError> {
    let clean = || {
        remove_all(&certs_dir.join(NEW_DIRECTORY))?;
        remove_all(&certs_dir.join(OLD_DIRECTORY))?;
        for entry in fs::read_dir(certs_dir)? {
            match fs::remove_file(entry?.path().join(NEW_FILE)) {
                Err(error) if !is_absent(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    clean().map_err(NodeError::io("cannot clean up", certs_dir))
}

/// A directory with those above it.
pub(super) fn create_directory(path: &Path, mode: u32) -> Result<(), NodeError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(mode).create(path).map_err(NodeError::io("cannot create", path))
}

/// The text of a file, or `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, NodeError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(NodeError::io("cannot read", path)(error)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    // Left over from a run that was killed, perhaps with a mode that is too wide.
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    // The process's umask has taken bits away.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

/// Gives a file the owner that the old one had. Asked for only where it differs: root without capabilities, as in an init
/// container, may not even ask.
fn keep_owner(new: &Path, old: &fs::Metadata) -> io::Result<()> {
    let now = fs::metadata(new)?;
    if (now.uid(), now.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    chown(new, Some(old.uid()), Some(old.gid()))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if is_absent(&error) => Ok(()),
        other => other,
    }
}
