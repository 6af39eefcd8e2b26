//! The sockets in front of the services: TLS, HTTP, pacing, faults, journal.
//!
//! A request goes `accept` → `exchange` → [`World::answer`] → one plain service function; the answer goes back through
//! `body` and `wire`. Services know nothing of any of these.

pub(crate) mod accept;
mod body;
mod exchange;
mod raw;
mod wire;

use http::{Response, StatusCode, Uri};

use crate::call::{Answer, Call};
use crate::clock::Clock;
use crate::fault::Faults;
use crate::journal::{Journal, Service};
use crate::oss::Oss;
use crate::pace::Paces;
use crate::ram::Directory;
use crate::realm::Realm;
use crate::registry::{Redirects, Registry};
use crate::settings::RealmHost;
use crate::shared::Shared;
use crate::{cr, imds, sts};

/// Everything behind the sockets.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) shared: Shared,
    pub(crate) realm: Realm,
    pub(crate) registry: Registry,
    pub(crate) oss: Oss,
    pub(crate) clock: Clock,
    pub(crate) journal: Journal,
    pub(crate) faults: Faults,
    pub(crate) paces: Paces,
}

impl World {
    /// Which service a host and path belong to, on the TLS port.
    fn service_of(&self, host: &str, path: &str) -> Service {
        let settings = self.shared.settings.now();
        if self.shared.store.by_domain(host).is_some() {
            let realm = settings.realm.host == RealmHost::RegistryItself && path == "/auth";
            return if realm { Service::Realm } else { Service::Registry };
        }
        if scripted_realm(&settings.realm.host).is_some_and(|realm| realm == host) {
            return Service::Realm;
        }
        let Some(name) = host.strip_suffix(".aliyuncs.com") else { return Service::Stranger };
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        match first {
            "sts" | "sts-vpc" => Service::Sts,
            "cr" | "cr-vpc" => Service::Cr,
            _ if first.starts_with("dockerauth") => Service::Realm,
            _ if rest.starts_with("oss-") => Service::Oss,
            _ => Service::Stranger,
        }
    }

    /// Asks a service.
    fn answer(&self, service: Service, call: &Call, redirects: Redirects) -> Answer {
        match service {
            Service::Sts => sts::handle(&self.directory, call),
            Service::Cr => cr::handle(&self.directory, call),
            Service::Imds => imds::handle(&self.directory, call),
            Service::Realm => self.realm.handle(call),
            Service::Registry => self.registry.handle(call, redirects),
            Service::Oss => self.oss.handle(call),
            Service::Stranger => plain(StatusCode::MISDIRECTED_REQUEST, "no simulated service has this name\n"),
        }
    }
}

/// The host of a realm URL that was set word for word.
pub(crate) fn scripted_realm(host: &RealmHost) -> Option<String> {
    let RealmHost::Url(url) = host else { return None };
    url.parse::<Uri>().ok()?.host().map(str::to_ascii_lowercase)
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(text.into());
    *answer.status_mut() = status;
    answer
}
