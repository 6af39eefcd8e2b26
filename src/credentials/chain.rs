//! Several possible first credentials: the first that is configured wins.
//!
//! Only "not configured" falls through. A source that is there and fails stops the chain, since going on would hide its
//! failure, or worse, use the rights of something else.

use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, CredentialsError, HopStatus, ProvideCredentials, Renewal, Session};

/// Sources in order of preference.
#[derive(Debug)]
pub(super) struct FirstConfigured {
    pub(super) sources: Vec<Arc<dyn ProvideCredentials>>,
}

impl ProvideCredentials for FirstConfigured {
    fn credentials(&self) -> BoxFuture<'_, Result<Renewal, Arc<CredentialsError>>> {
        Box::pin(async {
            let mut attempts = Vec::new();
            for source in &self.sources {
                match source.credentials().await {
                    Err(error) if matches!(*error, CredentialsError::NotConfigured { .. }) => attempts.push(error),
                    result => return result,
                }
            }
            Err(Arc::new(CredentialsError::Exhausted { attempts }))
        })
    }

    fn refused(&self, session: &Session, why: &Arc<CredentialsError>) {
        // Only the source that issued this very session will know it.
        for source in &self.sources {
            source.refused(session, why);
        }
    }

    fn pause(&self) -> Duration {
        self.sources.iter().map(|source| source.pause()).min().unwrap_or_default()
    }

    fn report(&self, into: &mut Vec<HopStatus>) {
        for source in &self.sources {
            source.report(into);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::FirstConfigured;
    use crate::clock::{SharedClock, SystemClock};
    use crate::credentials::static_keys::StaticKeys;
    use crate::credentials::{
        BoxFuture, Credentials, CredentialsError, HopStatus, ProvideCredentials, Renewal, Session,
    };

    #[derive(Debug)]
    struct Failing(fn() -> CredentialsError);

    impl ProvideCredentials for Failing {
        fn credentials(&self) -> BoxFuture<'_, Result<Renewal, Arc<CredentialsError>>> {
            Box::pin(async { Err(Arc::new((self.0)())) })
        }
        fn refused(&self, _session: &Session, _why: &Arc<CredentialsError>) {}
        fn report(&self, _into: &mut Vec<HopStatus>) {}
    }

    fn absent() -> CredentialsError {
        CredentialsError::NotConfigured { hop: "profile".into(), what: "there is no file".into() }
    }

    fn broken() -> CredentialsError {
        CredentialsError::Invalid { hop: "token file".into(), what: "it is empty".into() }
    }

    fn keys() -> Arc<dyn ProvideCredentials> {
        let credentials =
            Credentials { access_key_id: "LTAI".into(), access_key_secret: "s".into(), security_token: None };
        let clock: SharedClock = SystemClock::shared();
        Arc::new(StaticKeys::new("keys", credentials, &clock))
    }

    #[tokio::test]
    async fn what_is_not_configured_is_passed_over() {
        let chain = FirstConfigured { sources: vec![Arc::new(Failing(absent)), keys()] };
        assert_eq!(chain.credentials().await.unwrap().held.value.access_key_id, "LTAI");
    }

    #[tokio::test]
    async fn what_is_configured_and_broken_stops_the_chain() {
        let chain = FirstConfigured { sources: vec![Arc::new(Failing(broken)), keys()] };
        assert!(matches!(*chain.credentials().await.unwrap_err(), CredentialsError::Invalid { .. }));
    }

    #[tokio::test]
    async fn an_exhausted_chain_lists_what_was_tried() {
        let chain = FirstConfigured { sources: vec![Arc::new(Failing(absent)), Arc::new(Failing(absent))] };
        let error = chain.credentials().await.unwrap_err().to_string();
        assert_eq!(error.matches("profile: there is no file").count(), 2, "{error}");
    }
}
