//! The session policies that narrow each hop to what the next step needs. Pure.

use super::plan::{RoleArn, SessionPolicy};

/// What a pull needs of the registry's account, and nothing else.
const PULL_ONLY: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["cr:GetAuthorizationToken","cr:ListInstanceEndpoint","cr:PullRepository"],"Resource":"*"}]}"#;

/// The policy of a hop: the last one may do what `policy` says, one before that only take the next step.
pub(super) fn of_hop(policy: &SessionPolicy, next: Option<&RoleArn>) -> Option<String> {
    match (policy, next) {
        (SessionPolicy::None, _) => None,
        (_, Some(next)) => Some(format!(
            r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"{next}"}}]}}"#
        )),
        (SessionPolicy::PullOnly, None) => Some(PULL_ONLY.to_owned()),
        (SessionPolicy::Inline(text), None) => Some(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::of_hop;
    use crate::credentials::plan::{RoleArn, SessionPolicy};

    #[test]
    fn each_hop_may_do_what_the_next_step_needs() {
        let next = RoleArn::parse("acs:ram::222222222222:role/acr-pull").unwrap();
        let step: Value = serde_json::from_str(&of_hop(&SessionPolicy::PullOnly, Some(&next)).unwrap()).unwrap();
        assert_eq!(step["Statement"][0]["Resource"], next.as_str());
        let last: Value = serde_json::from_str(&of_hop(&SessionPolicy::PullOnly, None).unwrap()).unwrap();
        assert_eq!(last["Statement"][0]["Action"].as_array().unwrap().len(), 3);
        assert_eq!(of_hop(&SessionPolicy::None, Some(&next)), None);
        assert_eq!(of_hop(&SessionPolicy::Inline("{}".into()), None).as_deref(), Some("{}"));
    }
}
