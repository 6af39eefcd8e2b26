//! What people want to know of a certificate: for which names it is, who signed it, until when it is good.
//!
//! Read from certificates that rustls has accepted already, so nothing here decides anything. Whatever the bytes are, the
//! worst that comes of them is that less is known.

use std::time::Duration;

use crate::clock::Timestamp;

/// DER tags (X.690, section 8).
const UTC_TIME: u8 = 0x17;
const OID: u8 = 0x06;
/// `[0]` and `[3]` of a `TBSCertificate` (RFC 5280, section 4.1): the version, where there is one, and the extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// `[2]` of a `GeneralName` (RFC 5280, section 4.2.1.6): a DNS name.
const DNS_NAME: u8 = 0x82;
/// `id-ce-subjectAltName`.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// `id-at-commonName` and `id-at-organizationName`, in the order in which they name an authority best.
const NAMES: [&[u8]; 2] = [&[0x55, 0x04, 0x03], &[0x55, 0x04, 0x0a]];

/// How a TLS connection came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// `TLSv1_3` or another name of rustls.
    pub protocol: String,
    /// What the other side showed.
    pub certificate: Certificate,
    /// From the first packet to the end of the handshake.
    pub took: Duration,
}

/// A certificate, as far as it could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The DNS names it is for.
    pub names: Vec<String>,
    /// The name of who signed it.
    pub issuer: Option<String>,
    /// When it ceases to be good.
    pub expires: Option<Timestamp>,
}

impl Certificate {
    /// Reads an X.509 certificate in DER.
    pub(super) fn read(der: &[u8]) -> Self {
        Self::fields(der).unwrap_or_default()
    }

    fn fields(der: &[u8]) -> Option<Self> {
        let certificate = Elements(der).next()?;
        let mut fields = Elements(Elements(certificate.content).next()?.content).peekable();
        fields.next_if(|field| field.tag == VERSION);
        let mut fields = fields.skip(2); // serial number and algorithm
        let (issuer, validity) = (fields.next()?, fields.next()?);
        let extensions = fields.find(|field| field.tag == EXTENSIONS);
        Some(Self {
            names: extensions.map(|extensions| dns_names(extensions.content)).unwrap_or_default(),
            issuer: NAMES.iter().find_map(|attribute| name(issuer.content, attribute)),
            expires: Elements(validity.content).nth(1).and_then(|time| time.time()),
        })
    }
}

/// One attribute of a distinguished name.
fn name(sequence: &[u8], attribute: &[u8]) -> Option<String> {
    let sets = Elements(sequence).flat_map(|set| Elements(set.content));
    let mut pairs = sets.map(|pair| Elements(pair.content));
    let value = pairs.find_map(|mut pair| (pair.next()?.content == attribute).then(|| pair.next()).flatten())?;
    value.text()
}

fn dns_names(extensions: &[u8]) -> Vec<String> {
    let all = Elements(extensions).flat_map(|sequence| Elements(sequence.content));
    let wanted = all.map(|extension| Elements(extension.content));
    let value = wanted.into_iter().find_map(|mut fields| {
        let id = fields.next()?;
        // Between the two may stand whether it is critical.
        (id.tag == OID && id.content == ALTERNATIVE_NAMES).then(|| fields.last()).flatten()
    });
    let names = value.and_then(|octets| Elements(octets.content).next());
    let names = names.into_iter().flat_map(|sequence| Elements(sequence.content));
    names.filter(|name| name.tag == DNS_NAME).filter_map(|name| name.text()).collect()
}

/// A DER element.
#[derive(Debug, Clone, Copy)]
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

impl Element<'_> {
    /// The text of a string type. Two of them are not UTF-8, and no authority uses them any more.
    fn text(&self) -> Option<String> {
        let text = std::str::from_utf8(self.content).ok()?;
        text.chars().all(|character| !character.is_control()).then(|| text.to_owned())
    }

    /// The instant of a `Time` (RFC 5280, section 4.1.2.5): with two figures for the year up to 2049.
    fn time(&self) -> Option<Timestamp> {
        let text = self.text()?;
        let text = match (self.tag, text.as_bytes().first()?) {
            (UTC_TIME, b'0'..=b'4') => format!("20{text}"),
            (UTC_TIME, _) => format!("19{text}"),
            _ => text,
        };
        let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(time).ok()
    }
}

/// The elements of a sequence; ends at the first that is not whole.
#[derive(Debug, Clone)]
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        // From 0x80 on, the length stands in as many bytes of its own (X.690, section 8.1.3).
        let (length, rest) = match usize::from(first) {
            short @ 0..0x80 => (short, rest),
            long => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                let length = bytes.iter().try_fold(0_usize, |length, byte| {
                    length.checked_mul(256).and_then(|length| length.checked_add(usize::from(*byte)))
                });
                (length?, rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Element { tag, content })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::{Certificate, Element, UTC_TIME};

    #[tokio::test]
    async fn the_names_the_authority_and_the_end_are_read() {
        let cloud = cloudsim::CloudSim::start().await.unwrap();
        let der = CertificateDer::from_pem_file(cloud.ca_file()).unwrap();
        let read = Certificate::read(&der);
        assert_eq!(read.issuer.as_deref(), Some("cloudsim private CA"));
        assert!(read.names.is_empty() && read.expires.is_some(), "{read:?}");
        for end in 0..der.len() {
            assert_eq!(Certificate::read(&der[..end]), Certificate::default());
        }
    }

    #[test]
    fn a_year_of_two_figures_is_of_one_century_or_the_other() {
        let time = |tag, text: &str| Element { tag, content: text.as_bytes() }.time().unwrap().to_string();
        assert_eq!(time(UTC_TIME, "491231235959Z"), "2049-12-31T23:59:59Z");
        assert_eq!(time(UTC_TIME, "500101000000Z"), "1950-01-01T00:00:00Z");
        assert_eq!(time(0x18, "20501231235959Z"), "2050-12-31T23:59:59Z");
    }

    proptest! {
        #[test]
        fn bytes_that_are_no_certificate_are_read_to_no_harm(bytes: Vec<u8>) {
            Certificate::read(&bytes);
        }
    }
}
