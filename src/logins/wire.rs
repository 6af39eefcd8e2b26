//! The two lines of the conversation.
//!
//! Fields may be added: whoever reads leaves out what it does not know, so that a daemon and a plugin of different
//! versions understand each other.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

use super::{Answer, Login, Wanted};
use crate::oci::{Malformed, RegistryHost, RepositoryName};
use crate::secret::Secret;

/// Longest line: a login has some 2 KiB, a failure with all of its causes about as much.
const LONGEST: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Question {
    host: String,
    repository: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Reply {
    Login { user: String, password: String, seconds_left: u64, whole_registry: bool },
    NotServed {},
    NotKnown {},
    Failed { what: String, next: String },
}

/// The line that asks.
pub(super) fn question(wanted: &Wanted) -> io::Result<String> {
    let repository = wanted.repository.as_ref().map(|repository| repository.as_str().to_owned());
    line(&Question { host: wanted.host.to_string(), repository })
}

/// Reads the line that asks.
pub(super) async fn read_question(from: impl AsyncRead + Unpin) -> io::Result<Wanted> {
    let question: Question = serde_json::from_str(read_line(from).await?.expose()).map_err(io::Error::from)?;
    let parsed = || -> Result<Wanted, Malformed> {
        let repository = question.repository.as_deref().map(RepositoryName::parse).transpose()?;
        Ok(Wanted { host: RegistryHost::parse(&question.host)?, repository })
    };
    parsed().map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))
}

/// The line that answers, a secret as a whole.
pub(super) fn answer(answer: Answer) -> io::Result<Secret> {
    let reply = match answer {
        Answer::Login(Login { user, password, left, whole_registry }) => {
            Reply::Login { user, password: password.expose().to_owned(), seconds_left: left.as_secs(), whole_registry }
        }
        Answer::NotServed => Reply::NotServed {},
        Answer::NotKnown => Reply::NotKnown {},
        Answer::Failed { what, next } => Reply::Failed { what, next },
    };
    line(&reply).map(Secret::new)
}

/// Reads the line that answers.
pub(super) async fn read_answer(from: impl AsyncRead + Unpin) -> io::Result<Answer> {
    // What serde_json says of a line that it cannot read may repeat words of it.
    let unreadable = |_| io::Error::from(io::ErrorKind::InvalidData);
    let reply = serde_json::from_str(read_line(from).await?.expose()).map_err(unreadable)?;
    Ok(match reply {
        Reply::Login { user, password, seconds_left, whole_registry } => {
            let left = Duration::from_secs(seconds_left);
            Answer::Login(Login { user, password: Secret::new(password), left, whole_registry })
        }
        Reply::NotServed {} => Answer::NotServed,
        Reply::NotKnown {} => Answer::NotKnown,
        Reply::Failed { what, next } => Answer::Failed { what, next },
    })
}

fn line(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}

async fn read_line(from: impl AsyncRead + Unpin) -> io::Result<Secret> {
    let mut line = String::new();
    BufReader::new(from.take(LONGEST)).read_line(&mut line).await?;
    let line = Secret::new(line);
    if line.expose().ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
