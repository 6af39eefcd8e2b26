//! Logins for the other programs of this node: the instance of a registry, and what of its login may be told.

use std::path::Path;
use std::sync::Arc;

use super::Task;
use super::fleet::{Fleet, Found};
use crate::error::{Explain as _, chain};
use crate::logins::{self, Answer, Listener, Login, ProvideLogin, Wanted};
use crate::token::TokenSource;
use crate::upstream;

/// Answers from the running instances.
#[derive(Debug)]
struct Logins {
    fleet: Arc<Fleet>,
}

impl ProvideLogin for Logins {
    async fn login(&self, wanted: &Wanted) -> Answer {
        match self.fleet.find(&wanted.host) {
            Found::Instance(running) => hand_out(running.tokens(), &running.config().upstream, wanted).await,
            Found::None => Answer::NotServed,
            Found::NotKnown => Answer::NotKnown,
        }
    }
}

/// Answers at `socket` for as long as the task lives. Pulls do not depend on it, so what keeps it from starting is told
/// and no more. Needs a runtime.
pub(super) fn start(socket: &Path, fleet: &Arc<Fleet>) -> Option<Task> {
    if socket.parent().is_none_or(|directory| !directory.is_dir()) {
        tracing::info!(socket = %socket.display(), "no logins are handed out: there is no directory for the socket");
        return None;
    }
    match Listener::bind(socket) {
        Ok(listener) => {
            let logins = Arc::new(Logins { fleet: Arc::clone(fleet) });
            Some(Task(tokio::spawn(logins::serve(logins, listener))))
        }
        Err(error) => {
            tracing::warn!(socket = %socket.display(), %error, "no logins are handed out");
            None
        }
    }
}

/// The login of an instance, where it may pull what is wanted.
pub(crate) async fn hand_out(tokens: &TokenSource, limits: &upstream::Params, wanted: &Wanted) -> Answer {
    if wanted.repository.as_ref().is_some_and(|repository| !limits.allow(repository)) {
        return Answer::NotServed;
    }
    match tokens.login().await {
        Ok((token, left)) => Answer::Login(Login {
            user: token.user,
            password: token.password,
            left,
            whole_registry: limits.repositories.is_empty(),
        }),
        Err(error) => Answer::Failed {
            what: format!("{} has no login: {}", tokens.instance(), chain(&*error)),
            next: error.advice().map(std::borrow::Cow::into_owned).unwrap_or_default(),
        },
    }
}
