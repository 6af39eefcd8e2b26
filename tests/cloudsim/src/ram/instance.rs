//! Container Registry instances of the Enterprise Edition, as their owner set them up.

use super::{Caller, Directory};

/// One Enterprise Edition instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// `cri-…`.
    pub id: String,
    /// The name in its system domains.
    pub name: String,
    /// Where it lives; it is known nowhere else.
    pub region: String,
    /// The account that owns it.
    pub account: String,
    /// Domains of type `USER`, served by the public endpoint.
    pub custom_domains: Vec<String>,
}

impl Instance {
    /// An instance with its two system domains.
    #[must_use]
    pub fn new(id: &str, name: &str, region: &str, account: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            custom_domains: Vec::new(),
        }
    }

    /// Adds a custom domain.
    #[must_use]
    pub fn with_custom_domain(mut self, domain: &str) -> Self {
        self.custom_domains.push(domain.to_owned());
        self
    }

    /// The domain of the public endpoint.
    #[must_use]
    pub fn internet_domain(&self) -> String {
        format!("{}-registry.{}.cr.aliyuncs.com", self.name, self.region)
    }

    /// The domain of the VPC endpoint.
    #[must_use]
    pub fn vpc_domain(&self) -> String {
        format!("{}-registry-vpc.{}.cr.aliyuncs.com", self.name, self.region)
    }

    /// Every domain the instance answers to.
    #[must_use]
    pub fn domains(&self) -> Vec<String> {
        let mut domains = vec![self.internet_domain(), self.vpc_domain()];
        domains.extend(self.custom_domains.iter().cloned());
        domains
    }
}

impl Directory {
    /// All instances, by id.
    #[must_use]
    pub fn instances(&self) -> Vec<Instance> {
        self.lock().instances.values().cloned().collect()
    }

    /// The instance that answers to a domain.
    #[must_use]
    pub fn instance_by_domain(&self, domain: &str) -> Option<Instance> {
        let state = self.lock();
        state.instances.values().find(|instance| instance.domains().iter().any(|own| own == domain)).cloned()
    }

    /// An instance as its owner sees it in its region; to everybody else it does not exist.
    pub(crate) fn instance_of(&self, caller: &Caller, id: &str, region: &str) -> Option<Instance> {
        let state = self.lock();
        let instance = state.instances.get(id)?;
        (instance.account == caller.account && instance.region == region).then(|| instance.clone())
    }

    /// Whether an account has a Personal Edition in a region.
    pub(crate) fn has_personal_edition(&self, account: &str, region: &str) -> bool {
        self.lock().personal.contains(&(account.to_owned(), region.to_owned()))
    }
}
