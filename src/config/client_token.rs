//! The client token: a file with one word that callers have to know (`clientAuth.tokenFile`).
//!
//! Reads it and judges what it finds. Promises: a token that others on the node may read, or that no header can carry, is
//! none. Must not: make the file, which only the installer does, or tell the token to anybody but its caller.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::secret::Secret;

/// Longest file that is read. Ours have 43 characters; headers end at a multiple of this.
const LONGEST: u64 = 4096;

/// Fewest characters. What can be tried out in an afternoon keeps nobody away; 16 of base64 are 96 bits.
const SHORTEST: usize = 16;

/// The bits of a mode that let everybody in. The group may read, since that is how a daemon without privileges is given
/// the file.
const OTHERS: u32 = 0o007;

/// A client token cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("clientAuth.tokenFile {} {why}", path.display())]
pub struct Unavailable {
    path: PathBuf,
    why: Why,
}

/// Why not.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("does not exist")]
    Absent,
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("is readable by everybody on this node (mode {0:04o})")]
    Open(u32),
    #[error("is empty")]
    Empty,
    #[error("holds no token: it must be one word of {SHORTEST} to {LONGEST} printable ASCII characters")]
    NoToken,
}

impl Unavailable {
    /// The next step, as one short imperative sentence without a full stop.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self.why {
            Why::Absent => "run `acr-pull-proxy hosts install` as root, which makes it",
            Why::Unreadable(_) => "give it to the user that the daemon runs as, or to its group with mode 0640",
            Why::Open(_) => "run `acr-pull-proxy hosts install --rotate-token` as root: whoever read it has it",
            Why::Empty | Why::NoToken => "run `acr-pull-proxy hosts install --rotate-token` as root",
        }
    }

    /// What is wrong, for where the key is named already.
    pub(super) fn why(&self) -> String {
        format!("{} {}, so every pull is refused", self.path.display(), self.why)
    }

    /// Whether there is no file at all, so that one can be made.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self.why, Why::Absent)
    }
}

/// Reads the token.
///
/// # Errors
/// [`Unavailable`] where there is none that would protect anything.
pub fn client_token(path: &Path) -> Result<Secret, Unavailable> {
    read(path).map_err(|why| Unavailable { path: path.to_path_buf(), why })
}

fn read(path: &Path) -> Result<Secret, Why> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Why::Absent,
        _ => Why::Unreadable(error),
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(Why::Unreadable)?.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(Why::Open(mode));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(Why::Unreadable)?;
    let long = text.len() as u64 > LONGEST;
    let secret = Secret::new(text.trim());
    let token = secret.expose();
    match token.len() {
        0 => Err(Why::Empty),
        length if length < SHORTEST || long || !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err(Why::NoToken),
        _ => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::client_token;

    #[test]
    fn a_token_is_one_word_that_only_its_owner_and_group_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client-token");
        assert!(client_token(&path).unwrap_err().is_absent());
        let long = "a".repeat(5000);
        for (text, mode, said) in [
            ("0123456789abcdef\n", 0o600, ""),
            ("0123456789abcdef", 0o640, ""),
            ("0123456789abcdef", 0o644, "mode 0644"),
            ("0123456789abcdef", 0o601, "mode 0601"),
            (" \n", 0o600, "is empty"),
            ("short", 0o600, "holds no token"),
            ("two words of a token", 0o600, "holds no token"),
            (long.as_str(), 0o600, "holds no token"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match client_token(&path) {
                Ok(token) => assert_eq!((token.expose(), said), (text.trim(), "")),
                Err(error) => assert!(!said.is_empty() && error.to_string().contains(said), "{error}"),
            }
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!client_token(&path).unwrap_err().is_absent());
    }
}
