//! The login of the instance for somebody else: a client that speaks to the realm and the registry itself.

use std::sync::Arc;
use std::time::Duration;

use super::{PATIENCE, TokenSource};
use crate::clock::{Clock, until};
use crate::cloud::AuthorizationToken;
use crate::token::TokenError;

impl TokenSource {
    /// The login that the daemon itself uses, and how long it is still good.
    ///
    /// # Errors
    /// [`TokenError`] of the first step that failed.
    pub async fn login(&self) -> Result<(AuthorizationToken, Duration), Arc<TokenError>> {
        let held = self.login.fetch_within(PATIENCE).await?;
        Ok((held.value.token.clone(), until(self.clock.now(), held.expires)))
    }
}
