//! The published sample URLs, and every small alteration of them.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Uri};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Grant, Presented, Refusal, UrlSigner};
use crate::settings::UrlSignature;

struct Sample {
    method: Method,
    url: Uri,
    version: UrlSignature,
    traffic_limit: Option<u64>,
}

struct Samples {
    signer: UrlSigner,
    bucket: String,
    object: String,
    signed_at: Timestamp,
    list: Vec<Sample>,
}

fn samples() -> Samples {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/signature-vectors.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let set = &file["oss"][0];
    let text = |name: &str| set[name].as_str().unwrap().to_owned();
    let list = set["vectors"].as_array().unwrap().iter().map(|vector| Sample {
        method: vector["signed_for_method"].as_str().unwrap().parse().unwrap(),
        url: vector["url"].as_str().unwrap().parse().unwrap(),
        version: if vector["version"] == "v4" { UrlSignature::V4 } else { UrlSignature::V1 },
        traffic_limit: vector["extra_params"]["x-oss-traffic-limit"].as_str().map(|limit| limit.parse().unwrap()),
    });
    Samples {
        signer: UrlSigner::new(&text("access_key_id"), &text("access_key_secret"), &text("security_token")),
        bucket: text("bucket"),
        object: text("object"),
        signed_at: text("signed_at_utc").parse().unwrap(),
        list: list.collect(),
    }
}

impl Samples {
    fn verify(&self, method: &Method, url: &Uri, headers: &HeaderMap, after: i64) -> Result<(), Refusal> {
        self.signer.verify(&Presented {
            method,
            bucket: &self.bucket,
            path: url.path(),
            query: url.query().unwrap_or_default(),
            headers,
            now: self.signed_at + SignedDuration::from_secs(after),
        })
    }
}

#[test]
fn every_sample_url_is_accepted_until_it_expires() {
    let samples = samples();
    assert_eq!(samples.list.len(), 8);
    for sample in &samples.list {
        let verify = |after| samples.verify(&sample.method, &sample.url, &HeaderMap::new(), after);
        assert_eq!(verify(0), Ok(()), "{}", sample.url);
        assert_eq!(verify(1_200), Ok(()));
        assert!(matches!(verify(1_201), Err(Refusal::Expired(_))));
    }
}

#[test]
fn the_maker_writes_the_sample_urls_byte_for_byte() {
    let samples = samples();
    for sample in samples.list.iter().filter(|sample| sample.method == Method::GET) {
        let grant = Grant {
            bucket: &samples.bucket,
            object: &samples.object,
            region: "cn-hangzhou",
            traffic_limit: sample.traffic_limit,
            lifetime: SignedDuration::from_secs(1_200),
            now: samples.signed_at,
        };
        assert_eq!(samples.signer.sign(sample.version, &grant).0, sample.url.query().unwrap());
    }
}

#[test]
fn any_changed_character_of_path_or_query_is_refused() {
    let samples = samples();
    for sample in &samples.list {
        let whole = sample.url.path_and_query().unwrap().as_str();
        for (place, old) in whole.char_indices().filter(|(_, old)| old.is_ascii_alphanumeric()) {
            let new = if old == '1' { '2' } else { '1' };
            let altered = format!("{}{new}{}", whole.get(..place).unwrap(), whole.get(place + 1..).unwrap());
            let Ok(altered) = altered.parse::<Uri>() else { continue };
            // An escape may be written in either case, or turn into another escape of the same text: that is no change.
            let decoded = |uri: &Uri| percent_encoding::percent_decode_str(&uri.to_string()).collect::<Vec<_>>();
            if decoded(&altered) == decoded(&whole.parse().unwrap()) {
                continue;
            }
            let verdict = samples.verify(&sample.method, &altered, &HeaderMap::new(), 0);
            assert!(verdict.is_err(), "accepted {altered}");
        }
    }
}

#[test]
fn another_verb_a_content_type_or_an_oss_header_is_refused() {
    let samples = samples();
    for sample in &samples.list {
        let other = if sample.method == Method::GET { Method::HEAD } else { Method::GET };
        assert_eq!(samples.verify(&other, &sample.url, &HeaderMap::new(), 0), Err(Refusal::Mismatch));
        for name in [CONTENT_TYPE.as_str(), "content-md5", "x-oss-range-behavior"] {
            let mut headers = HeaderMap::new();
            headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
            assert_eq!(samples.verify(&sample.method, &sample.url, &headers, 0), Err(Refusal::Mismatch), "{name}");
        }
        let mut harmless = HeaderMap::new();
        harmless.insert("range", HeaderValue::from_static("bytes=0-0"));
        harmless.insert("user-agent", HeaderValue::from_static("x"));
        assert_eq!(samples.verify(&sample.method, &sample.url, &harmless, 0), Ok(()));
    }
}

#[test]
fn another_secret_or_a_stripped_parameter_is_refused() {
    let mut samples = samples();
    for sample in &samples.list {
        let query = sample.url.query().unwrap();
        for stripped in ["x-oss-traffic-limit", "security-token", "x-oss-security-token"] {
            let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with(stripped)).collect();
            if kept.len() == query.split('&').count() {
                continue;
            }
            let url: Uri = format!("{}?{}", sample.url.path(), kept.join("&")).parse().unwrap();
            assert_eq!(samples.verify(&sample.method, &url, &HeaderMap::new(), 0), Err(Refusal::Mismatch));
        }
    }
    samples.signer.access_key_secret.push('x');
    for sample in &samples.list {
        let verdict = samples.verify(&sample.method, &sample.url, &HeaderMap::new(), 0);
        assert_eq!(verdict, Err(Refusal::Mismatch));
    }
}
