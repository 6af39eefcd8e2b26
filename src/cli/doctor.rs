//! `doctor`: walks the way of a pull with the objects that `serve` is made of, step by step, and says of each what it
//! found; on a failure who has to act, the likely cause and the fix, from the one table of failures.
//!
//! It changes nothing, neither here nor in the cloud, and prints no secret.

mod calls;
mod chain;
mod containerd;
mod daemon;
mod finding;
mod image;
mod network;
mod report;
mod tls;
pub(super) mod token_file;

use std::path::Path;
use std::sync::Arc;

use super::Form;
use super::hosts::Place;
use super::output::{FAILED, Failure, print_json};
use super::policy::ServiceAccount;
use super::pull::image::{Reference, parse};
use super::pull::own_root;
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::cloud::CloudClock;
use crate::config::{Config, Environment, Instance, Loaded, Overlay, load};
use crate::error::diagnosis::Sign;
use crate::http::client::{self, Client};
use crate::telemetry::metrics::Metrics;
use calls::Calls;
use chain::Walk;
use finding::Finding;
use report::Report;

/// Below this a difference of clocks is noise: a `Date` has whole seconds and a way of its own.
const NOISE_SECONDS: f64 = 5.0;

/// What is looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Questions {
    /// Only this instance [default: all].
    #[arg(long, value_name = "ID", env = "ACR_PULL_PROXY_INSTANCE")]
    instance: Option<String>,
    /// An image to go all the way with: bearer, manifest, blob host, and a whole pull through the daemon.
    #[arg(long, value_name = "REF", env = "ACR_PULL_PROXY_IMAGE")]
    image: Option<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    account: ServiceAccount,
}

/// What every part of the examination works with.
struct Tools<'a> {
    config: &'a Config,
    /// Whose token is expected.
    account: &'a ServiceAccount,
    client: Client,
    /// For questions to the daemon: it may have a certificate that nobody else has to trust.
    near: Client,
    clock: Arc<CloudClock>,
    metrics: Metrics,
    calls: Calls,
}

pub(super) fn run(
    path: &Path,
    environment: &Environment,
    overlay: &Overlay,
    questions: &Questions,
    form: Form,
) -> Result<(), Failure> {
    let Loaded { config, notes } = load(path, environment, overlay).map_err(Failure::Configuration)?;
    let instances = chosen(&config, questions.instance.as_deref())?;
    let image = questions.image.as_deref().map(parse).transpose();
    let image = image.map_err(|error| Failure::usage(error, "write it as a pod does, host/name:tag"))?;
    let mut report = Report::new(form, environment.value("NO_COLOR").is_some());
    report.section("configuration");
    report.add(Finding::good("file", format!("{} is good", path.display())));
    for note in &notes {
        report.add(Finding::note("remark", note.to_string()));
    }
    let built = |params| {
        Client::new(params).map_err(|error| {
            Failure::runtime(crate::error::chain(&error), "install ca-certificates or set network.caFile")
        })
    };
    let client = built(config.client())?;
    let root = config.tls.as_ref().map(own_root).transpose();
    let root = root.map_err(|error| Failure::runtime(error, "name the certificate of the daemon's issuer"))?.flatten();
    let near = built(client::Params { extra_roots: root.or(config.client().extra_roots), ..config.client() })?;
    let node: SharedClock = SystemClock::shared();
    let clock = CloudClock::new(node);
    let calls = Calls::listen().map_err(|error| Failure::runtime(error, "report this as a defect"))?;
    let tools =
        Tools { config: &config, account: &questions.account, client, near, clock, metrics: Metrics::new(), calls };
    super::runtime()?.block_on(examine(&tools, &instances, image.as_ref(), &questions.place, &mut report));
    if form == Form::Json {
        print_json(&report.answer())?;
    }
    report.summary()?;
    if report.failures() == 0 { Ok(()) } else { Err(Failure::Told(FAILED)) }
}

fn chosen<'a>(config: &'a Config, wanted: Option<&str>) -> Result<Vec<&'a Instance>, Failure> {
    let fits = |instance: &&Instance| wanted.is_none_or(|wanted| instance.id.as_str() == wanted);
    let found: Vec<_> = config.instances.iter().filter(fits).collect();
    if found.is_empty() {
        let known: Vec<_> = config.instances.iter().map(|instance| instance.id.as_str()).collect();
        let what = format!("no instance '{}' is configured", wanted.unwrap_or_default());
        return Err(Failure::usage(
            format!("{what}; there is {}", known.join(", ")),
            "name one of them with --instance",
        ));
    }
    Ok(found)
}

async fn examine(
    tools: &Tools<'_>,
    instances: &[&Instance],
    image: Option<&Reference>,
    place: &Place,
    report: &mut Report,
) {
    let mut served = Vec::new();
    let mut found_image = false;
    for instance in instances {
        report.section(&format!("instance {}", instance.id));
        let walk = match Walk::new(tools, instance) {
            Ok(walk) => walk,
            Err(error) => {
                let text = crate::error::chain(&error);
                report.add(Finding::failed("role chain", text, Sign::CallImpossible));
                continue;
            }
        };
        walk.first_credential(report).await;
        let has_login = walk.hops(report).await;
        let domains = walk.domains(has_login, report).await;
        walk.challenges(&domains, report).await;
        if let Some(image) = image
            && domains.iter().any(|domain| domain.as_str() == image.registry())
        {
            found_image = true;
            walk.image(image, has_login, report).await;
        }
        served.extend(domains);
    }
    report.section("node");
    if let Some(image) = image
        && !found_image
    {
        let text = format!("{} is no domain of an instance that was examined", image.registry());
        report.add(Finding::failed("image", text, Sign::DomainNotServed));
    }
    clock_finding(tools, report);
    report.add_all(network::blob_proxy(tools).await);
    containerd::examine(tools.config, place, &served, report);
    daemon::examine(tools, &served, image.filter(|_| found_image), report).await;
}

/// After the calls, since the cloud's time is known by them.
fn clock_finding(tools: &Tools<'_>, report: &mut Report) {
    if !tools.calls.any() {
        return report.add(Finding::skipped("clock", "the cloud's time is not known: nothing was answered"));
    }
    let skew = tools.clock.skew_seconds();
    let now = format!("{:.0}", tools.clock.now());
    report.add(if skew.abs() < NOISE_SECONDS {
        Finding::good("clock", format!("agrees with the cloud's, {now}"))
    } else {
        let side = if skew > 0.0 { "ahead of" } else { "behind" };
        Finding::warning("clock", format!("{:.0} s {side} the cloud's, {now}", skew.abs()), Sign::ClockSkew)
    });
}
