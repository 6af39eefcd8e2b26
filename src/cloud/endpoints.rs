//! From a region to the hosts of its APIs: the VPC name first, then the public one, then the global one.
//!
//! An explicit host wins over all of them. A name that could not be reached is not asked again and again: the choice that
//! worked is remembered for a while.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::imds::Imds;

/// A region id such as `cn-hangzhou`. The list is open: whatever has the form of one is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region(Arc<str>);

impl Region {
    /// Parses `^[a-z]{2}-[a-z0-9-]+$`; surrounding spaces are no part of it.
    ///
    /// # Errors
    /// A sentence that says what a region id looks like.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let form = text.split_once('-').is_some_and(|(area, rest)| {
            area.len() == 2
                && area.bytes().all(|byte| byte.is_ascii_lowercase())
                && !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
        if form { Ok(Self(text.into())) } else { Err("it must look like 'cn-hangzhou'") }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `endpoints` of the configuration; `None` follows the region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params {
    /// Host of STS.
    pub sts: Option<String>,
    /// Host of the Container Registry API.
    pub cr: Option<String>,
    /// Base URL of the metadata service, without a trailing slash; `None`: `http://100.100.100.200`.
    pub metadata: Option<String>,
    /// The node's own region, which STS is asked in; `None`: asked of the metadata service when it is first needed.
    pub node_region: Option<Region>,
}

/// Regions whose STS has no VPC name in the official product list (April 2026).
const STS_WITHOUT_VPC: &[&str] = &[
    "ap-south-1",
    "ap-southeast-2",
    "ap-southeast-6",
    "cn-hangzhou-finance",
    "cn-heyuan-acdr-1",
    "cn-north-2-gov-1",
    "cn-zhengzhou-jva",
    "us-southeast-1",
];
/// Regions whose STS the official SDK maps straight to the global name.
const STS_GLOBAL_ONLY: &[&str] = &[
    "ap-south-1",
    "ap-southeast-2",
    "cn-beijing-gov-1",
    "cn-edge-1",
    "cn-fujian",
    "cn-wuhan",
    "cn-yushanfang",
    "cn-zhangbei",
];
/// Regions whose Container Registry API has no VPC name in the official product list (April 2026).
const CR_WITHOUT_VPC: &[&str] = &["cn-heyuan", "cn-huhehaote", "cn-north-2-gov-1", "cn-wulanchabu"];
/// The name of STS that every region reaches.
const STS_GLOBAL: &str = "sts.aliyuncs.com";
/// How long a choice that was made because another name could not be reached is kept: a VPC name that failed while the
/// node was starting deserves another try.
const CHOICE_TIME: Duration = Duration::from_secs(3600);
/// How long a metadata service that did not answer is left alone.
const REGION_PAUSE: Duration = Duration::from_secs(60);

/// The hosts of one API in order of preference, with the choice that worked.
#[derive(Debug)]
pub(crate) struct Endpoint {
    hosts: Vec<String>,
    choice: Mutex<(usize, Option<Instant>)>,
}

impl Endpoint {
    fn new(hosts: Vec<String>) -> Self {
        // Names from configuration files and product lists have been seen with a space at their end.
        let hosts = hosts.into_iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        Self { hosts, choice: Mutex::new((0, None)) }
    }

    /// All hosts with their index, the remembered one first.
    pub(crate) fn order(&self) -> Vec<(usize, &str)> {
        let first = self.chosen();
        let rest = (0..self.hosts.len()).filter(|index| *index != first);
        std::iter::once(first).chain(rest).filter_map(|index| Some((index, self.hosts.get(index)?.as_str()))).collect()
    }

    /// The host that would be asked first.
    pub(crate) fn current(&self) -> &str {
        self.hosts.get(self.chosen()).map_or("", String::as_str)
    }

    /// This host could be reached.
    pub(crate) fn remember(&self, index: usize) {
        let mut choice = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        if choice.0 != index {
            *choice = (index, Some(Instant::now()));
        }
    }

    fn chosen(&self) -> usize {
        let mut choice = self.choice.lock().unwrap_or_else(PoisonError::into_inner);
        if choice.1.is_some_and(|since| since.elapsed() >= CHOICE_TIME) {
            *choice = (0, None);
        }
        choice.0
    }
}

/// The endpoints of one instance's calls, and the region of the node.
#[derive(Debug)]
pub struct Endpoints {
    params: Params,
    imds: Arc<Imds>,
    learned: OnceLock<Region>,
    /// When the metadata service was last asked; held while it is, so that nobody goes on without its answer.
    asked: tokio::sync::Mutex<Option<Instant>>,
    sts: OnceLock<Arc<Endpoint>>,
    cr: OnceLock<Arc<Endpoint>>,
}

impl Endpoints {
    pub(crate) fn new(params: Params, imds: Arc<Imds>) -> Self {
        Self {
            params,
            imds,
            learned: OnceLock::new(),
            asked: tokio::sync::Mutex::new(None),
            sts: OnceLock::new(),
            cr: OnceLock::new(),
        }
    }

    /// The region of this node: configured, or asked of the metadata service once. `None` where neither says it.
    pub async fn node_region(&self) -> Option<Region> {
        if let Some(region) = self.params.node_region.as_ref().or_else(|| self.learned.get()) {
            return Some(region.clone());
        }
        let mut asked = self.asked.lock().await;
        if let Some(region) = self.learned.get() {
            return Some(region.clone());
        }
        if asked.is_some_and(|asked| asked.elapsed() < REGION_PAUSE) {
            return None;
        }
        *asked = Some(Instant::now());
        match self.imds.region().await {
            Ok(region) => Some(self.learned.get_or_init(|| region).clone()),
            Err(error) => {
                tracing::debug!(%error, "the node's region is not known");
                None
            }
        }
    }

    /// STS of the node's region; its sessions are good in every region.
    pub(crate) async fn sts(&self) -> Arc<Endpoint> {
        if let Some(known) = self.sts.get() {
            return Arc::clone(known);
        }
        let hosts = match &self.params.sts {
            Some(host) => vec![host.clone()],
            None => match self.node_region().await {
                Some(region) => sts_hosts(&region),
                // Not kept: the metadata service may answer the next time.
                None => return Arc::new(Endpoint::new(vec![STS_GLOBAL.to_owned()])),
            },
        };
        Arc::clone(self.sts.get_or_init(|| Arc::new(Endpoint::new(hosts))))
    }

    /// The Container Registry API of the instance's region, or of the node's where the instance names none.
    pub(crate) async fn cr(&self, instance: Option<&Region>) -> Option<Arc<Endpoint>> {
        if let Some(known) = self.cr.get() {
            return Some(Arc::clone(known));
        }
        let hosts = match (&self.params.cr, instance) {
            (Some(host), _) => vec![host.clone()],
            (None, Some(region)) => cr_hosts(region, self.node_region().await.as_ref()),
            (None, None) => {
                let region = self.node_region().await?;
                cr_hosts(&region, Some(&region))
            }
        };
        Some(Arc::clone(self.cr.get_or_init(|| Arc::new(Endpoint::new(hosts)))))
    }
}

fn sts_hosts(region: &Region) -> Vec<String> {
    let id = region.as_str();
    if STS_GLOBAL_ONLY.contains(&id) {
        return vec![STS_GLOBAL.to_owned()];
    }
    // The finance cloud of Hangzhou is served by the STS of Hangzhou.
    let home = if id == "cn-hangzhou-finance" { "cn-hangzhou" } else { id };
    let vpc = (!STS_WITHOUT_VPC.contains(&home)).then(|| format!("sts-vpc.{home}.aliyuncs.com"));
    vpc.into_iter().chain([format!("sts.{home}.aliyuncs.com"), STS_GLOBAL.to_owned()]).collect()
}

/// An instance is known in its own region only, and the VPC name of another region has no route without extra work: from
/// there the public name comes first.
fn cr_hosts(instance: &Region, node: Option<&Region>) -> Vec<String> {
    let public = format!("cr.{instance}.aliyuncs.com");
    if CR_WITHOUT_VPC.contains(&instance.as_str()) {
        return vec![public];
    }
    let vpc = format!("cr-vpc.{instance}.aliyuncs.com");
    if node.is_some_and(|node| node != instance) { vec![public, vpc] } else { vec![vpc, public] }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CHOICE_TIME, Endpoint, Region, cr_hosts, sts_hosts};

    fn region(id: &str) -> Region {
        Region::parse(id).unwrap()
    }

    #[test]
    fn names_follow_the_region_vpc_first() {
        assert_eq!(
            sts_hosts(&region("cn-hangzhou")),
            ["sts-vpc.cn-hangzhou.aliyuncs.com", "sts.cn-hangzhou.aliyuncs.com", "sts.aliyuncs.com"]
        );
        assert_eq!(sts_hosts(&region("ap-southeast-6")), ["sts.ap-southeast-6.aliyuncs.com", "sts.aliyuncs.com"]);
        assert_eq!(sts_hosts(&region("cn-wuhan")), ["sts.aliyuncs.com"]);
        assert_eq!(sts_hosts(&region("cn-hangzhou-finance"))[0], "sts-vpc.cn-hangzhou.aliyuncs.com");
    }

    #[test]
    fn another_region_is_asked_over_the_public_name_first() {
        let (home, abroad) = (region("cn-hangzhou"), region("ap-southeast-1"));
        assert_eq!(cr_hosts(&home, Some(&home))[0], "cr-vpc.cn-hangzhou.aliyuncs.com");
        assert_eq!(cr_hosts(&home, Some(&abroad))[0], "cr.cn-hangzhou.aliyuncs.com");
        assert_eq!(cr_hosts(&region("cn-huhehaote"), None), ["cr.cn-huhehaote.aliyuncs.com"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_choice_is_remembered_for_a_while() {
        let endpoint = Endpoint::new(vec!["vpc.example ".into(), "public.example".into()]);
        assert_eq!(endpoint.current(), "vpc.example");
        endpoint.remember(1);
        assert_eq!(endpoint.order(), [(1, "public.example"), (0, "vpc.example")]);
        tokio::time::advance(CHOICE_TIME + Duration::from_secs(1)).await;
        assert_eq!(endpoint.current(), "vpc.example");
    }

    #[test]
    fn regions_are_an_open_list() {
        assert_eq!(region(" xx-anything-9 ").as_str(), "xx-anything-9");
        for text in ["", "cn", "CN-hangzhou", "cn-", "chn-hangzhou", "cn-hang zhou"] {
            assert!(Region::parse(text).is_err(), "{text:?}");
        }
    }
}
