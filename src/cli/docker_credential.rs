//! `docker-credential-acr-pull-proxy`: the protocol of docker's credential helpers (project docker-credential-helpers),
//! which podman, skopeo and buildah speak too. The program is this one under another name.
//!
//! The action is the argument, its subject stands on standard input, and the answer or the error on standard output,
//! since that is where the callers look for both. The login leaves there and nowhere else.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use clap::ValueEnum;
use serde_json::json;

use super::login::{self, Way};
use super::output::{FAILED, Failure, print};
use crate::config::Environment;
use crate::logins::Wanted;
use crate::oci::RegistryHost;

/// The name that callers make of `acr-pull-proxy` in `credHelpers`.
const PROGRAM: &str = "docker-credential-acr-pull-proxy";

/// The command of ours that stands for it.
const COMMAND: &str = "docker-credential";

/// What callers know as "there is none, ask without"; the words are the protocol's.
const NOT_FOUND: &str = "credentials not found in native keychain\n";

/// The protocol's words for a question that names no server.
const NO_SERVER: &str = "no credentials server URL\n";

/// Why nothing is stored.
const NOT_STORED: &str = "acr-pull-proxy gets a new login whenever one is needed, and stores and erases none\n";

/// Longest subject: a server's name, or with `store` a login that somebody typed.
const LONGEST_SUBJECT: u64 = 64 * 1024;

/// The actions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Action {
    /// Print the login of a server.
    Get,
    /// Print the servers whose login is stored: none.
    List,
    /// Refused.
    Store,
    /// Refused.
    Erase,
}

/// The arguments with our command put in where the program was run under the helper's name.
pub(super) fn by_name(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let name = arguments.first().and_then(|program| Path::new(program).file_name());
    if name.is_some_and(|name| name == PROGRAM) {
        arguments.insert(1, COMMAND.into());
    }
    arguments
}

pub(super) fn run(action: Action, way: &Way, config: &Path, environment: &Environment) -> Result<(), Failure> {
    let answer = match action {
        Action::List => Ok("{}\n".to_owned()),
        Action::Get => get(way, config, environment),
        Action::Store | Action::Erase => {
            // The caller may still be writing.
            subject().map(drop).and(Err(NOT_STORED.to_owned()))
        }
    };
    match answer {
        Ok(text) => print(&text),
        Err(text) => print(&text).and(Err(Failure::Told(FAILED))),
    }
}

fn get(way: &Way, config: &Path, environment: &Environment) -> Result<String, String> {
    let subject = subject()?;
    let server = subject.trim();
    if server.is_empty() {
        return Err(NO_SERVER.to_owned());
    }
    let Some(host) = host(server) else { return Err(NOT_FOUND.to_owned()) };
    let wanted = Wanted { host, repository: None };
    match login::obtain(&wanted, way, config, environment).map_err(|failure| failure.told().0)? {
        Some(login) => {
            let answer = json!({ "ServerURL": server, "Username": login.user, "Secret": login.password.expose() });
            Ok(format!("{answer}\n"))
        }
        None => Err(NOT_FOUND.to_owned()),
    }
}

fn subject() -> Result<String, String> {
    let mut text = String::new();
    match io::stdin().lock().take(LONGEST_SUBJECT).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("acr-pull-proxy: the name of the server cannot be read: {error}\n")),
    }
}

/// The registry of a server's name, which may be a URL and have a path.
fn host(server: &str) -> Option<RegistryHost> {
    let authority = server.split_once("://").map_or(server, |(_, rest)| rest);
    let host = authority.split_once('/').map_or(authority, |(host, _)| host);
    RegistryHost::parse(host).ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{by_name, host};

    #[test]
    fn the_program_is_told_by_its_name() {
        let run = |program: &str| by_name([program, "get"].map(OsString::from));
        assert_eq!(run("/usr/local/bin/docker-credential-acr-pull-proxy")[1..], ["docker-credential", "get"]);
        assert_eq!(run("/usr/local/bin/acr-pull-proxy")[1..], ["get"]);
    }

    #[test]
    fn a_server_is_named_with_or_without_scheme_and_path() {
        for (server, found) in [
            ("images.example.com", Some("images.example.com")),
            ("https://images.example.com:5000/v2/", Some("images.example.com:5000")),
            ("https://index.docker.io/v1/", Some("index.docker.io")),
            ("images.example.com/team", Some("images.example.com")),
            ("", None),
            ("https://", None),
        ] {
            assert_eq!(host(server).as_ref().map(|host| host.as_str()), found, "{server}");
        }
    }
}
