//! What the realm and the registry hold in common: the key of the bearers, the instances, the settings.

use std::sync::Arc;

use crate::generation::Generation;
use crate::jwt::SigningKey;
use crate::ledger::Ledger;
use crate::settings::SharedSettings;
use crate::store::Store;

/// Handles only: clones see the same cloud.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) key: &'static SigningKey,
    pub(crate) settings: SharedSettings,
    pub(crate) ledger: Ledger,
    pub(crate) generation: Generation,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            store: Arc::default(),
            key: SigningKey::shared(),
            settings: SharedSettings::default(),
            ledger: Ledger::default(),
            generation: Generation::default(),
        }
    }
}
