//! RRSA: the projected service-account token, exchanged for a session of a role of the node's account.
//!
//! The token file is opened at every use, since kubelet replaces it at about 80 % of its life by a symlink swap.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::session::{Proof, SessionSettings};
use super::{Credentials, CredentialsError, Level, Session};
use crate::refresh::{Expiring, Load};
use crate::secret::Secret;
use crate::telemetry::metrics::Hop;

/// Pauses between the tries to read a file that is missing or empty for a moment; together well within a request's time.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];
/// The longest `OIDCToken` that STS takes.
const LONGEST_TOKEN: u64 = 20_000;

/// A session of the RRSA role.
#[derive(Debug)]
pub(super) struct OidcRole {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) provider: String,
    pub(super) token_file: PathBuf,
}

impl Load for OidcRole {
    type Value = Credentials;
    type Error = CredentialsError;

    async fn load(&self, _held: Option<Session>) -> Result<Expiring<Credentials>, Arc<CredentialsError>> {
        let error = match self.ask().await? {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        // The file may have been replaced between our reading and the call.
        if error.code() != "AuthenticationFail.OIDCToken.Expired" {
            return Err(Arc::new(CredentialsError::from_cloud(self.name(), error)));
        }
        self.ask().await?.map_err(|error| Arc::new(CredentialsError::from_cloud(self.name(), error)))
    }
}

impl OidcRole {
    async fn ask(&self) -> Result<Result<Expiring<Credentials>, crate::cloud::CloudError>, Arc<CredentialsError>> {
        let token = read(&self.token_file)
            .await
            .map_err(|what| Arc::new(CredentialsError::TokenFile { hop: self.name(), what }))?;
        Ok(self.settings.ask(Proof::Token { provider: &self.provider, token: &token }).await)
    }
}

impl Level for OidcRole {
    fn name(&self) -> String {
        format!("AssumeRoleWithOIDC {}", self.settings.role)
    }

    fn hop(&self) -> Hop {
        Hop::Oidc
    }

    fn note(&self) -> Option<String> {
        self.settings.note()
    }
}

/// The token as it stands in the file now.
async fn read(file: &Path) -> Result<Secret, String> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let problem = match read_once(file).await {
            Ok(token) => return Ok(token),
            Err(problem) => problem,
        };
        match pauses.next() {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(format!("the token file {} {problem}", file.display())),
        }
    }
}

async fn read_once(file: &Path) -> Result<Secret, String> {
    let metadata = tokio::fs::metadata(file).await.map_err(|error| format!("cannot be read: {error}"))?;
    if metadata.len() > LONGEST_TOKEN {
        return Err("is longer than any token that STS takes".to_owned());
    }
    let text = tokio::fs::read_to_string(file).await.map_err(|error| format!("cannot be read: {error}"))?;
    let text = zeroize::Zeroizing::new(text);
    match text.trim() {
        "" => Err("is empty".to_owned()),
        token => Ok(Secret::new(token)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::read;

    /// Check 9 (`tests/it/peers.rs`).
    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_missing_for_a_moment_is_no_failure() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let reading = tokio::spawn({
            let file = file.clone();
            async move { read(&file).await }
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!reading.is_finished());
        std::fs::write(&file, "eyJ.a.b\n").unwrap();
        assert_eq!(reading.await.unwrap().unwrap().expose(), "eyJ.a.b");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_stays_away_is_named() {
        let problem = read("/nowhere/token".as_ref()).await.unwrap_err();
        assert!(problem.starts_with("the token file /nowhere/token cannot be read"), "{problem}");
    }
}
