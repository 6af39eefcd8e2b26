//! The calls that were made, as the daemon's own log tells them: `doctor` uses the objects of `serve` and only listens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

use super::finding::Finding;
use crate::telemetry::calls::CALLS;

/// One call that ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    call: String,
    pub(super) host: String,
    request_id: Option<String>,
    microseconds: u64,
}

impl Call {
    /// Puts time, place and id to a finding.
    pub(super) fn describe(self, finding: Finding) -> Finding {
        finding.asked(self.host, Some(Duration::from_micros(self.microseconds))).id(self.request_id)
    }
}

/// The calls of this process, in order of their end.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    /// Listens from now on.
    ///
    /// # Errors
    /// A sentence where this process has a log of another kind already.
    pub(super) fn listen() -> Result<Self, String> {
        let calls = Self::default();
        let subscriber = tracing_subscriber::registry().with(calls.clone());
        tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
        Ok(calls)
    }

    /// Whether anything answered at all.
    pub(super) fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// Takes the last call of this kind out of the list.
    pub(super) fn take_last(&self, call: &str) -> Option<Call> {
        let mut calls = self.lock();
        let index = calls.iter().rposition(|made| made.call == call)?;
        let taken = calls.get(index).cloned();
        if let Some(made) = calls.get_mut(index) {
            // It stays as something that answered, and is not found again.
            made.call.clear();
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Calls {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == CALLS
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut call = Call::default();
        event.record(&mut call);
        self.lock().push(call);
    }
}

impl Visit for Call {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "call" => value.clone_into(&mut self.call),
            "host" => value.clone_into(&mut self.host),
            "cloud_request_id" => self.request_id = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "microseconds" {
            self.microseconds = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
