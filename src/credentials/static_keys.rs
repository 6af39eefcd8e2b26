//! AccessKey pairs: from the configuration, from the environment as it was at start, from two files.
//!
//! Files are read at every use, so that a rotated key is simply the next one that is read.

use std::path::PathBuf;
use std::sync::Arc;

use super::{BoxFuture, Credentials, CredentialsError, HopStatus, ProvideCredentials, Renewal, Session};
use crate::clock::SharedClock;
use crate::refresh::Expiring;
use crate::secret::Secret;
use crate::telemetry::metrics::Hop;

/// Longest key file; a key has about 30 characters.
const LONGEST_KEY: u64 = 4096;

/// A pair that does not expire by itself.
#[derive(Debug)]
pub(super) struct StaticKeys {
    pub(super) name: &'static str,
    pub(super) session: Session,
}

impl StaticKeys {
    pub(super) fn new(name: &'static str, credentials: Credentials, clock: &SharedClock) -> Self {
        Self { name, session: Arc::new(Expiring::lasting(credentials, clock.now())) }
    }
}

impl ProvideCredentials for StaticKeys {
    fn credentials(&self) -> BoxFuture<'_, Result<Renewal, Arc<CredentialsError>>> {
        Box::pin(async { Ok(Renewal { held: Arc::clone(&self.session), stale: None }) })
    }

    fn refused(&self, _session: &Session, why: &Arc<CredentialsError>) {
        tracing::warn!(
            source = self.name,
            error = crate::error::chain(&**why),
            "the cloud refuses this AccessKey pair"
        );
    }

    fn report(&self, into: &mut Vec<HopStatus>) {
        let held = Some((self.session.issued, self.session.expires));
        into.push(HopStatus { name: self.name.to_owned(), hop: Hop::Metadata, held, failure: None, note: None });
    }
}

/// A pair in two files.
#[derive(Debug)]
pub(super) struct KeyFiles {
    pub(super) id: PathBuf,
    pub(super) secret: PathBuf,
    pub(super) clock: SharedClock,
}

const KEY_FILES: &str = "AccessKey files";

impl KeyFiles {
    /// The pair as it stands in the files now. They cannot be read in one step, so the id is read again until it is the
    /// same before and after the secret.
    async fn read(&self) -> Result<Credentials, Arc<CredentialsError>> {
        let mut id = read(&self.id).await?;
        loop {
            let access_key_secret = read(&self.secret).await?;
            let again = read(&self.id).await?;
            if again == id {
                return Ok(Credentials {
                    access_key_id: id.expose().to_owned(),
                    access_key_secret,
                    security_token: None,
                });
            }
            id = again;
        }
    }
}

async fn read(file: &PathBuf) -> Result<Secret, Arc<CredentialsError>> {
    let invalid = |problem: &dyn std::fmt::Display| {
        let what = format!("{} {problem}", file.display());
        Arc::new(CredentialsError::Invalid { hop: KEY_FILES.to_owned(), what })
    };
    let unreadable = |error: std::io::Error| invalid(&format_args!("cannot be read: {error}"));
    if tokio::fs::metadata(file).await.map_err(unreadable)?.len() > LONGEST_KEY {
        return Err(invalid(&"is too long for a key"));
    }
    let text = zeroize::Zeroizing::new(tokio::fs::read_to_string(file).await.map_err(unreadable)?);
    match text.trim() {
        "" => Err(invalid(&"is empty")),
        key => Ok(Secret::new(key)),
    }
}

impl ProvideCredentials for KeyFiles {
    fn credentials(&self) -> BoxFuture<'_, Result<Renewal, Arc<CredentialsError>>> {
        Box::pin(async {
            let held = Arc::new(Expiring::lasting(self.read().await?, self.clock.now()));
            Ok(Renewal { held, stale: None })
        })
    }

    fn refused(&self, _session: &Session, _why: &Arc<CredentialsError>) {}

    fn report(&self, into: &mut Vec<HopStatus>) {
        into.push(HopStatus {
            name: KEY_FILES.to_owned(),
            hop: Hop::Metadata,
            held: None,
            failure: None,
            note: Some("read at every use".to_owned()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyFiles, ProvideCredentials};
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_rotated_key_is_the_next_one_that_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let (id, secret) = (directory.path().join("id"), directory.path().join("secret"));
        std::fs::write(&id, "LTAI-one\n").unwrap();
        std::fs::write(&secret, "first\n").unwrap();
        let files = KeyFiles { id: id.clone(), secret: secret.clone(), clock: SystemClock::shared() };
        assert_eq!(files.credentials().await.unwrap().held.value.access_key_id, "LTAI-one");
        std::fs::write(&id, "LTAI-two").unwrap();
        assert_eq!(files.credentials().await.unwrap().held.value.access_key_id, "LTAI-two");
        std::fs::remove_file(&secret).unwrap();
        let error = files.credentials().await.unwrap_err().to_string();
        assert!(error.contains("secret cannot be read"), "{error}");
    }
}
