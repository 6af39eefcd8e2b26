//! The client token in its file: made where there is none, replaced where that is asked for.
//!
//! At every instant the file is whole, and readable by nobody but its owner and, where one is named, one group. It is in
//! its place before an entry with it is, so that no caller knows a token that the daemon cannot.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::builder::BoolishValueParser;

use super::super::output::{Failure, warn};
use super::super::usage::number;
use crate::config::client_token;
use crate::secret::Secret;

/// Random bytes of a token: nobody tries out 256 bits.
const RANDOM_BYTES: usize = 32;
/// Mode of the file, and where a group shall read it.
const MODE: u32 = 0o600;
const GROUP_MODE: u32 = 0o640;
/// Mode of a directory that has to be made for it; the daemon's user must be able to get through.
const DIRECTORY_MODE: u32 = 0o755;
/// The name under which it is written before it takes its place.
const NEW_FILE: &str = ".client-token.new";

/// How the file is to be.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Making {
    /// Replace the client token; the daemon takes the old one for an hour more, so that no pull fails.
    #[arg(long, env = "ACR_PULL_PROXY_HOSTS_ROTATE_TOKEN", value_parser = BoolishValueParser::new())]
    rotate_token: bool,
    /// The group that may read the client token, as a number [default: that of the directory it is in, where the
    /// directory has another owner than root].
    #[arg(long, value_name = "GID", env = "ACR_PULL_PROXY_HOSTS_TOKEN_GROUP", value_parser = number::<u32>)]
    token_group: Option<u32>,
}

/// The token in the file, which is made or replaced before.
pub(super) fn token(path: &Path, making: Making) -> Result<Secret, Failure> {
    let make = |path: &Path| {
        let failed = |error: io::Error| {
            let next = "run as root, and check that the file system is writable";
            Failure::runtime(format!("cannot write {}: {error}", path.display()), next)
        };
        made(path, making).map_err(failed)
    };
    if making.rotate_token {
        make(path)?;
    }
    match client_token(path) {
        Err(error) if error.is_absent() => make(path)?,
        _ => {}
    }
    client_token(path).map_err(|error| Failure::runtime(error.to_string(), error.advice()))
}

/// What stands for the token where nothing may be written; it is masked wherever it is shown.
pub(super) fn placeholder(path: &Path, making: Making) -> Result<Secret, Failure> {
    let to_make = match client_token(path) {
        Ok(token) if !making.rotate_token => return Ok(token),
        Ok(_) => "replaced",
        Err(error) if error.is_absent() => "made",
        Err(_) if making.rotate_token => "replaced",
        Err(error) => return Err(Failure::runtime(error.to_string(), error.advice())),
    };
    warn(&format!("note: the client token in {} would be {to_make}\n", path.display()));
    Ok(Secret::new("a-token-that-is-not-made-yet"))
}

fn made(path: &Path, making: Making) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    // One run at a time; let go when the file is closed, also by a kill.
    let lock = File::open(directory)?;
    lock.lock()?;
    if !making.rotate_token && client_token(path).is_ok() {
        return Ok(());
    }
    let new = directory.join(NEW_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
    file.write_all(format!("{}\n", random()?.expose()).as_bytes())?;
    give(&new, directory, making.token_group)?;
    let mode = if making.token_group.is_some() { GROUP_MODE } else { MODE };
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    lock.sync_all()
}

fn random() -> io::Result<Secret> {
    let mut bytes = [0; RANDOM_BYTES];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("there are no random numbers"))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

/// Gives the file to who is to read it: the named group, or else the owner of the directory, which under systemd is the
/// daemon's user (`StateDirectory=`). Asked for only where it differs, since an init container may not even ask.
fn give(file: &Path, directory: &Path, group: Option<u32>) -> io::Result<()> {
    let (now, around) = (fs::metadata(file)?, fs::metadata(directory)?);
    if let Some(group) = group.filter(|group| *group != now.gid()) {
        return chown(file, None, Some(group));
    }
    let is_for_root = around.uid() == 0 || group.is_some();
    if is_for_root || (now.uid(), now.gid()) == (around.uid(), around.gid()) {
        return Ok(());
    }
    chown(file, Some(around.uid()), Some(around.gid()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    use super::{Making, NEW_FILE, placeholder, token};

    const PLAIN: Making = Making { rotate_token: false, token_group: None };
    const ROTATED: Making = Making { rotate_token: true, token_group: None };

    #[test]
    fn a_token_is_made_once_and_replaced_when_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/for/it/client-token");
        placeholder(&path, PLAIN).unwrap();
        assert!(!path.exists(), "a dry run writes nothing");
        let first = token(&path, PLAIN).unwrap();
        assert_eq!(first.expose().len(), 43, "32 bytes in base64");
        assert_eq!(token(&path, PLAIN).unwrap(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let second = token(&path, ROTATED).unwrap();
        assert_ne!(second, first);
        placeholder(&path, ROTATED).unwrap();
        assert_eq!(token(&path, PLAIN).unwrap(), second);
    }

    #[test]
    fn one_that_everybody_could_read_is_replaced_and_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client-token");
        fs::write(&path, "0123456789abcdef0123456789abcdef").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(token(&path, PLAIN).is_err());
        let group = fs::metadata(&path).unwrap().gid();
        let made = token(&path, Making { rotate_token: true, token_group: Some(group) }).unwrap();
        assert!(!made.expose().starts_with("0123"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    }

    #[test]
    fn it_belongs_to_the_user_of_the_daemon_where_root_makes_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client-token");
        let daemon = 12_345;
        // Who may not give files away makes them for itself.
        let root = chown(directory.path(), Some(daemon), Some(daemon)).is_ok();
        let me = fs::metadata(directory.path()).unwrap();
        token(&path, PLAIN).unwrap();
        let made = fs::metadata(&path).unwrap();
        assert_eq!((made.uid(), made.gid()), (me.uid(), me.gid()));
        if root {
            let made = Making { rotate_token: true, token_group: Some(65_532) };
            token(&path, made).unwrap();
            let made = fs::metadata(&path).unwrap();
            assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (0, 65_532, 0o640));
        }
    }

    #[test]
    fn runs_at_the_same_time_agree_on_one_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client-token");
        fs::write(directory.path().join(NEW_FILE), "left over from a run that was killed").unwrap();
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || token(&path, PLAIN).unwrap().expose().to_owned())
            })
            .collect();
        let tokens: HashSet<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        assert_eq!(tokens.len(), 1);
    }
}
