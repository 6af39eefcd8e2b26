//! The login of a registry for another program: from the running daemon where there is one, else by the same chain.
//!
//! A registry that is not served is told without asking anybody, but where the configuration leaves it to the cloud to
//! name the domains.

mod alone;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::output::Failure;
use crate::config::Environment;
use crate::logins::{self, Answer, Login, SOCKET, Wanted};

/// The variable that stands for `--login-socket`.
pub(super) const SOCKET_VARIABLE: &str = "ACR_PULL_PROXY_LOGIN_SOCKET";

/// How long all hops may take together where no daemon has done them before. With the 20 s that a daemon may take, this
/// stays below the minute after which the kubelet gives its plugin up.
const CHAIN_TIME: Duration = Duration::from_secs(30);

/// Where a login comes from.
#[derive(Debug, clap::Args)]
pub(super) struct Way {
    /// The socket of the running daemon; without one, the configuration says what to do.
    #[arg(long, value_name = "PATH", env = SOCKET_VARIABLE, default_value = SOCKET)]
    login_socket: PathBuf,
}

/// Gets the login, or `None` where the registry is not served.
pub(super) fn obtain(
    wanted: &Wanted,
    way: &Way,
    config: &Path,
    environment: &Environment,
) -> Result<Option<Login>, Failure> {
    super::runtime()?.block_on(async {
        let answer = match logins::ask(&way.login_socket, wanted).await {
            Ok(Answer::NotKnown) | Err(_) => {
                let asked = timeout(CHAIN_TIME, alone::ask(wanted, config, environment)).await;
                asked.unwrap_or_else(|_| {
                    let what = format!("no login within {} s", CHAIN_TIME.as_secs());
                    Err(Failure::runtime(what, "see which hop is slow with `acr-pull-proxy doctor`"))
                })?
            }
            Ok(answer) => answer,
        };
        match answer {
            Answer::Login(login) => Ok(Some(login)),
            Answer::NotServed | Answer::NotKnown => Ok(None),
            Answer::Failed { what, next } => Err(Failure::runtime(what, next)),
        }
    })
}
