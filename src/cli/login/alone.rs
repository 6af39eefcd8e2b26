//! Without a daemon: the configuration, and the objects that the daemon is made of, for one login.

use std::path::Path;
use std::sync::Arc;

use crate::app::instance::learn_domains;
use crate::app::logins::hand_out;
use crate::clock::SystemClock;
use crate::cloud::CloudClock;
use crate::config::{Config, Domains, Environment, Instance, Loaded, Overlay, Unusable, load};
use crate::error::chain;
use crate::http::client::Client;
use crate::logins::{Answer, Wanted};
use crate::telemetry::metrics::Metrics;
use crate::token::TokenSource;

use super::Failure;

/// Gives the answer that a daemon with this configuration would give.
pub(super) async fn ask(wanted: &Wanted, config: &Path, environment: &Environment) -> Result<Answer, Failure> {
    let Loaded { config, .. } =
        load(config, environment, &Overlay::default()).map_err(|unusable| in_one_line(&unusable))?;
    // What somebody wrote down outranks what the cloud says, as in the daemon.
    if let Some(instance) = config.instances.iter().find(|instance| instance.domains.named().contains(&wanted.host)) {
        let source = source(instance, &config)?;
        return Ok(hand_out(&source, &instance.upstream, wanted).await);
    }
    let mut unknown = None;
    for instance in config.instances.iter().filter(|instance| instance.domains == Domains::Discover) {
        let source = source(instance, &config)?;
        match learn_domains(&source, &instance.token.edition).await {
            Ok(domains) if domains.contains(&wanted.host) => {
                return Ok(hand_out(&source, &instance.upstream, wanted).await);
            }
            Ok(_) => {}
            Err(why) => unknown = Some(format!("the domains of {} are not known: {why}", instance.id)),
        }
    }
    Ok(match unknown {
        Some(what) => Answer::Failed { what, next: "set 'domains' of the instance".to_owned() },
        None => Answer::NotServed,
    })
}

/// Whoever runs us logs a line, and so the first problem has to stand for all of them.
fn in_one_line(unusable: &Unusable) -> Failure {
    let first = unusable.problems.first().map(ToString::to_string).unwrap_or_default();
    let what = format!("no daemon answers, and {unusable}: {first}");
    Failure::usage(what, "start the daemon, or correct what `acr-pull-proxy check` finds")
}

fn source(instance: &Instance, config: &Config) -> Result<Arc<TokenSource>, Failure> {
    let client = Client::new(config.client())
        .map_err(|error| Failure::runtime(chain(&error), "install ca-certificates or set network.caFile"))?;
    let metrics = Metrics::new().instance(&instance.id);
    let clock = CloudClock::new(SystemClock::shared());
    TokenSource::new(instance.token.clone(), config.endpoints.clone(), client, clock, metrics)
        .map_err(|error| Failure::runtime(chain(&error), "correct the instance in the configuration"))
}
