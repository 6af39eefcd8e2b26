//! Every metric name of the daemon, in one file (contract section 5).

use std::sync::atomic::AtomicUsize;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Stands before every name of ours.
const PREFIX: &str = "acr_pull_proxy";

/// Buckets in seconds for what takes from a warm manifest (a millisecond) to a layer of gigabytes (minutes).
const REQUEST_SECONDS: [f64; 12] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

/// Buckets in seconds for what has one or two round trips in it and ends at a timeout.
const CALL_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 25.0];

/// The families over their registry.
#[derive(Debug)]
pub(super) struct Families {
    pub(super) registry: Registry,
    /// How many instances have metrics here.
    pub(super) instances: AtomicUsize,
    pub(super) reference: Vec<Family>,
    pub(super) requests: IntCounterVec,
    pub(super) request_seconds: HistogramVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) response_bytes: IntCounterVec,
    pub(super) first_byte_seconds: HistogramVec,
    pub(super) token_requests: IntCounterVec,
    pub(super) token_seconds: HistogramVec,
    pub(super) token_expiry: GaugeVec,
    pub(super) token_issued: GaugeVec,
    pub(super) token_cache: IntCounterVec,
    pub(super) upstream_requests: IntCounterVec,
    pub(super) upstream_seconds: HistogramVec,
    pub(super) upstream_retries: IntCounterVec,
    pub(super) blob_resumes: IntCounterVec,
    pub(super) blob_redirects: IntCounterVec,
    pub(super) blob_parts: IntCounterVec,
    pub(super) blob_proxy: IntCounterVec,
    pub(super) last_success: GaugeVec,
    pub(super) build_info: GaugeVec,
    pub(super) reload_success: Gauge,
    pub(super) reload_timestamp: Gauge,
    pub(super) clock_skew: Gauge,
}

/// One family as a reference lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its whole name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

impl Families {
    /// All families, over a registry of their own.
    pub(super) fn new() -> Self {
        let mut new = Builder::default();
        let request = ["instance", "kind", "method", "status"];
        let mut families = Self {
            requests: new.counters("requests_total", "Requests answered.", &request),
            request_seconds: new.histograms(
                "request_duration_seconds",
                "Time from the request head to the end of the response body.",
                &request,
                &REQUEST_SECONDS,
            ),
            in_flight: new.gauges("requests_in_flight", "Requests being answered; they have no status yet.", &request),
            response_bytes: new.counters("response_bytes_total", "Body bytes sent to clients.", &request),
            first_byte_seconds: new.histograms(
                "time_to_first_byte_seconds",
                "Time from the request head to the first body byte.",
                &["instance", "kind"],
                &CALL_SECONDS,
            ),
            token_requests: new.counters(
                "token_requests_total",
                "Calls for a credential or token, by step of the role chain.",
                &["instance", "hop", "outcome"],
            ),
            token_seconds: new.histograms(
                "token_request_duration_seconds",
                "Duration of the calls for a credential or token.",
                &["instance", "hop", "outcome"],
                &CALL_SECONDS,
            ),
            token_expiry: new.times(
                "token_expiry_timestamp_seconds",
                "When the credential or token in use expires.",
                &["instance", "hop"],
            ),
            token_issued: new.times(
                "token_issued_timestamp_seconds",
                "When the credential or token in use was issued.",
                &["instance", "hop"],
            ),
            token_cache: new.counters(
                "token_cache_requests_total",
                "How credentials and tokens were come by.",
                &["instance", "hop", "result"],
            ),
            upstream_requests: new.counters(
                "upstream_requests_total",
                "Requests to the outside.",
                &["instance", "target", "outcome"],
            ),
            upstream_seconds: new.histograms(
                "upstream_request_duration_seconds",
                "Time until the response head of requests to the outside.",
                &["instance", "target", "outcome"],
                &CALL_SECONDS,
            ),
            upstream_retries: new.counters(
                "upstream_retries_total",
                "Requests to the outside that were tried again, by how the attempt before ended.",
                &["instance", "target", "outcome"],
            ),
            blob_resumes: new.counters("blob_resumes_total", "Broken blob bodies that were continued.", &["instance"]),
            blob_redirects: new.counters("blob_redirects_total", "Blob redirects to the bucket.", &["instance"]),
            blob_parts: new.counters("blob_parts_total", "Parts of blobs that were fetched.", &["instance"]),
            blob_proxy: new.counters(
                "blob_proxy_requests_total",
                "Blob requests handed to blobProxy; those that failed were made directly.",
                &["instance", "outcome"],
            ),
            last_success: new.times(
                "last_success_timestamp_seconds",
                "When a pull request was last answered in full; 0 until then.",
                &["instance"],
            ),
            reload_success: new.gauge("config_reload_success", "1 if the last configuration read was good, else 0."),
            reload_timestamp: new.gauge("config_reload_timestamp_seconds", "When a good configuration was last read."),
            clock_skew: new.gauge("clock_skew_seconds", "How far this node's clock is ahead of the cloud's."),
            build_info: new.times("build_info", "Always 1; the labels say what runs.", &["version", "commit"]),
            registry: new.registry.clone(),
            instances: AtomicUsize::new(0),
            reference: Vec::new(),
        };
        families.reference = new.reference;
        families
    }

    /// Takes away every series of an instance.
    pub(super) fn forget(&self, instance: &str) {
        forget_in(&self.requests, instance);
        forget_in(&self.request_seconds, instance);
        forget_in(&self.in_flight, instance);
        forget_in(&self.response_bytes, instance);
        forget_in(&self.first_byte_seconds, instance);
        forget_in(&self.token_requests, instance);
        forget_in(&self.token_seconds, instance);
        forget_in(&self.token_expiry, instance);
        forget_in(&self.token_issued, instance);
        forget_in(&self.token_cache, instance);
        forget_in(&self.upstream_requests, instance);
        forget_in(&self.upstream_seconds, instance);
        forget_in(&self.upstream_retries, instance);
        forget_in(&self.blob_resumes, instance);
        forget_in(&self.blob_redirects, instance);
        forget_in(&self.blob_parts, instance);
        forget_in(&self.blob_proxy, instance);
        forget_in(&self.last_success, instance);
    }
}

/// Removes every child of a family whose `instance` is this one.
fn forget_in<T: MetricVecBuilder>(family: &MetricVec<T>, instance: &str) {
    for metric in family.collect().iter().flat_map(|families| families.get_metric()) {
        let labels: std::collections::HashMap<&str, &str> =
            metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
        if labels.get("instance") == Some(&instance) {
            // Only a child that is gone already cannot be removed.
            family.remove(&labels).ok();
        }
    }
}

/// Creates families and registers them. Names and labels are literals of this file, so a clash or a malformed name is
/// a mistake that the first test would show.
#[derive(Default)]
struct Builder {
    registry: Registry,
    reference: Vec<Family>,
}

impl Builder {
    fn registered<C: Collector + Clone + 'static>(&mut self, kind: &'static str, family: prometheus::Result<C>) -> C {
        let family = family.expect("names and labels are well-formed literals");
        self.reference.extend(family.desc().into_iter().map(|desc| Family {
            name: desc.fq_name.clone(),
            kind,
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        }));
        self.registry.register(Box::new(family.clone())).expect("every name is registered once");
        family
    }

    fn counters(&mut self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered("counter", IntCounterVec::new(Opts::new(name, help).namespace(PREFIX), labels))
    }

    fn gauges(&mut self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered("gauge", IntGaugeVec::new(Opts::new(name, help).namespace(PREFIX), labels))
    }

    fn times(&mut self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.registered("gauge", GaugeVec::new(Opts::new(name, help).namespace(PREFIX), labels))
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        self.registered("gauge", Gauge::with_opts(Opts::new(name, help).namespace(PREFIX)))
    }

    fn histograms(&mut self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::new(name, help).namespace(PREFIX).buckets(buckets.to_vec());
        self.registered("histogram", HistogramVec::new(opts, labels))
    }
}
