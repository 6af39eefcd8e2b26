//! Which first credential an instance begins its role chain with.
//!
//! The choice is made here, once, from what is configured. Behind a source that is configured no other stands in line:
//! a broken one must be reported, not covered by another identity of the node.

use std::path::Path;

use super::environment::Environment;
use super::file::absolute_path;
use super::reader::{Field, Section};
use super::{CredentialSource, Rrsa};
use crate::credentials::plan::{Base, OidcProviderArn, RoleArn};
use crate::secret::Secret;

/// Where the CLI of Alibaba Cloud keeps its profiles, below the home directory.
const PROFILES: &str = ".aliyun/config.json";

/// Reads the keys about the first credential. The bases are in order of preference, and empty only after a problem.
pub(super) fn read(section: &Section<'_>, rrsa: &Rrsa, environment: &Environment) -> (CredentialSource, Vec<Base>) {
    let wanted = section.field("credentialSource").and_then(|field| field.parsed(source)).unwrap_or_default();
    let access_key = access_key(section);
    let asked_for = wanted == CredentialSource::Rrsa
        || (wanted == CredentialSource::Auto && rrsa.enable == Some(true) && access_key.is_none());
    let found = Found {
        access_key,
        rrsa: rrsa_base(section, rrsa, asked_for, environment),
        environment: environment_keys(environment),
        profile: profile(environment, wanted),
        uri: environment.value("ALIBABA_CLOUD_CREDENTIALS_URI").map(|uri| Base::CredentialsUri { uri: uri.to_owned() }),
        ram_role: Base::RamRole { name: environment.value("ALIBABA_CLOUD_ECS_METADATA").map(str::to_owned) },
    };
    let bases = match wanted {
        CredentialSource::Auto => found.first_configured(environment),
        named => found.only(named),
    };
    if bases.is_empty() {
        let (text, hint) = missing(wanted);
        section.findings.problem(&section.place_of("credentialSource"), text, hint);
    }
    (wanted, bases)
}

fn source(text: &str) -> Result<CredentialSource, String> {
    let known = CredentialSource::ALL;
    known.into_iter().find(|source| source.as_str() == text).ok_or_else(|| {
        let words: Vec<_> = known.iter().map(|source| source.as_str()).collect();
        format!("it must be one of {}", words.join(", "))
    })
}

/// What is configured of each source.
struct Found {
    access_key: Option<Base>,
    rrsa: Option<Base>,
    environment: Option<Base>,
    profile: Option<Base>,
    uri: Option<Base>,
    ram_role: Base,
}

impl Found {
    fn first_configured(self, environment: &Environment) -> Vec<Base> {
        if let Some(base) = self.access_key.or(self.rrsa).or(self.environment) {
            return vec![base];
        }
        let ram_role = (!environment.is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED")).then_some(self.ram_role);
        self.profile.into_iter().chain(self.uri).chain(ram_role).collect()
    }

    fn only(self, source: CredentialSource) -> Vec<Base> {
        let base = match source {
            CredentialSource::Auto => None,
            CredentialSource::Rrsa => self.rrsa,
            CredentialSource::RamRole => Some(self.ram_role),
            CredentialSource::AccessKey => self.access_key,
            CredentialSource::Environment => self.environment,
            CredentialSource::Profile => self.profile,
            CredentialSource::CredentialsUri => self.uri,
        };
        base.into_iter().collect()
    }
}

fn missing(source: CredentialSource) -> (String, &'static str) {
    let hint = match source {
        CredentialSource::Rrsa => "set rrsaRoleARN and rrsaOIDCProviderRoleARN",
        CredentialSource::AccessKey => "set customAccessKeyFile and customAccessKeySecretFile",
        CredentialSource::Environment => "set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        CredentialSource::Profile => "set HOME, or ALIBABA_CLOUD_CONFIG_FILE to the path of the CLI's config.json",
        CredentialSource::CredentialsUri => "set ALIBABA_CLOUD_CREDENTIALS_URI",
        CredentialSource::Auto | CredentialSource::RamRole => "set credentialSource to one of them and configure it",
    };
    (format!("nothing is configured for the credential source '{}'", source.as_str()), hint)
}

fn environment_keys(environment: &Environment) -> Option<Base> {
    let id = environment.value("ALIBABA_CLOUD_ACCESS_KEY_ID")?.to_owned();
    let secret = Secret::new(environment.value("ALIBABA_CLOUD_ACCESS_KEY_SECRET")?);
    let token = environment.value("ALIBABA_CLOUD_SECURITY_TOKEN").map(Secret::new);
    Some(Base::Environment { id, secret, token })
}

/// A profile is configured where its file is, or where somebody said so.
fn profile(environment: &Environment, wanted: CredentialSource) -> Option<Base> {
    if environment.is_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED") {
        return None;
    }
    let named = environment.value("ALIBABA_CLOUD_CONFIG_FILE");
    let name = environment.value("ALIBABA_CLOUD_PROFILE").map(str::to_owned);
    let file = match named {
        Some(file) => Path::new(file).to_path_buf(),
        None => environment.home()?.join(PROFILES),
    };
    let asked_for = wanted == CredentialSource::Profile || named.is_some() || name.is_some();
    (asked_for || file.is_file()).then_some(Base::Profile { file, name })
}

/// The two arrangements of an AccessKey pair, in the configuration or in files; half of one is a problem.
fn access_key(section: &Section<'_>) -> Option<Base> {
    let id = section.field("customAccessKey");
    let secret = section.field("customAccessKeySecret");
    let id_file = section.field("customAccessKeyFile");
    let secret_file = section.field("customAccessKeySecretFile");
    if let (Some(_), Some(file)) = (&id, &id_file) {
        file.problem("customAccessKey is set as well", "keep one of the two");
    }
    let inline = pair(section, [("customAccessKey", id), ("customAccessKeySecret", secret)]);
    let files = pair(section, [("customAccessKeyFile", id_file), ("customAccessKeySecretFile", secret_file)]);
    if let Some((id, secret)) = files {
        let (id, secret) = (absolute_path(&id), absolute_path(&secret));
        return Some(Base::AccessKeyFile { id: id?, secret: secret? });
    }
    let (id, secret) = inline?;
    secret.note(
        "a secret stands in the configuration: whoever may read it holds this key until it is rotated",
        "prefer a role (assumeRoleARN), or customAccessKeyFile and customAccessKeySecretFile",
    );
    Some(Base::AccessKey { id: id.text()?.to_owned(), secret: Secret::new(secret.text()?) })
}

fn pair<'a>(section: &Section<'a>, halves: [(&str, Option<Field<'a>>); 2]) -> Option<(Field<'a>, Field<'a>)> {
    match halves {
        [(_, Some(first)), (_, Some(second))] => Some((first, second)),
        [(set, Some(_)), (unset, None)] | [(unset, None), (set, Some(_))] => {
            let text = format!("half a pair: {set} is set and {unset} is not");
            section.findings.problem(&section.place_of(unset), text, "set both or neither");
            None
        }
        [(_, None), (_, None)] => None,
    }
}

/// RRSA, where it is asked for or its keys are set.
fn rrsa_base(section: &Section<'_>, rrsa: &Rrsa, asked_for: bool, environment: &Environment) -> Option<Base> {
    let role = section.field("rrsaRoleARN");
    let provider = section.field("rrsaOIDCProviderRoleARN");
    if rrsa.enable == Some(false) && !asked_for {
        if let Some(role) = &role {
            role.note("this has no effect, since rrsa.enable is false", "set rrsa.enable to true");
        }
        return None;
    }
    // A pod whose token was injected by the webhook is told both ARNs; they count once RRSA is asked for.
    let told = |name| environment.value(name).filter(|_| asked_for);
    let missing = |key: &str| {
        let text = if asked_for { "RRSA needs this key" } else { "half a pair: the other ARN of RRSA is set" };
        section.findings.problem(
            &section.place_of(key),
            text,
            "set rrsaRoleARN and rrsaOIDCProviderRoleARN, or neither",
        );
    };
    let role_text = told("ALIBABA_CLOUD_ROLE_ARN");
    let provider_text = told("ALIBABA_CLOUD_OIDC_PROVIDER_ARN");
    if asked_for || role.is_some() || provider.is_some() {
        if role.is_none() && role_text.is_none() {
            missing("rrsaRoleARN");
        }
        if provider.is_none() && provider_text.is_none() {
            missing("rrsaOIDCProviderRoleARN");
        }
    }
    let role = match role {
        Some(field) => field.parsed(RoleArn::parse),
        None => role_text.and_then(|text| RoleArn::parse(text).ok()),
    };
    let provider = match provider {
        Some(field) => field.parsed(OidcProviderArn::parse),
        None => provider_text.and_then(|text| OidcProviderArn::parse(text).ok()),
    };
    Some(Base::Rrsa { role: role?, provider: provider?, token_file: rrsa.token_file.clone() })
}
