//! RAM permission policies: statements of actions on resources, and the grammar of their JSON form.
//!
//! Owns the question "does this policy allow that action there". Who holds which policy is for the directory.

use serde::Deserialize;

/// A set of statements. An explicit denial beats every permission; what nobody mentions is denied.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// The policy text does not follow the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the policy does not follow the grammar")]
pub struct PolicyGrammar;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    effect: Effect,
    action: OneOrMore,
    resource: OneOrMore,
    condition: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Effect {
    Allow,
    Deny,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: String,
    statement: Vec<Statement>,
}

impl Policy {
    /// One statement that allows `actions` on `resource`; both may hold `*`.
    #[must_use]
    pub fn allow(actions: &[&str], resource: &str) -> Self {
        Self {
            statements: vec![Statement {
                effect: Effect::Allow,
                action: OneOrMore::More(actions.iter().map(|action| (*action).to_owned()).collect()),
                resource: OneOrMore::One(resource.to_owned()),
                condition: None,
            }],
        }
    }

    /// The statements of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.statements.extend(other.statements);
        self
    }

    /// Reads the JSON form: `Version` "1" and a list of statements.
    ///
    /// # Errors
    /// Where the text is not JSON, lacks an element, or has one that the grammar does not know.
    pub fn parse(text: &str) -> Result<Self, PolicyGrammar> {
        let document: Document = serde_json::from_str(text).map_err(|_| PolicyGrammar)?;
        let named = |statement: &Statement| !statement.action.is_empty() && !statement.resource.is_empty();
        match document.version == "1" && !document.statement.is_empty() && document.statement.iter().all(named) {
            true => Ok(Self { statements: document.statement }),
            false => Err(PolicyGrammar),
        }
    }

    /// Whether `action` is allowed on `resource`.
    #[must_use]
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        self.decide(|statement| statement.action.matches(action) && statement.resource.matches(resource))
    }

    /// Whether `action` is allowed on any resource at all.
    #[must_use]
    pub fn allows_somewhere(&self, action: &str) -> bool {
        self.decide(|statement| {
            let everywhere = statement.effect == Effect::Allow || statement.resource.matches("*");
            statement.action.matches(action) && everywhere
        })
    }

    /// Takes the permission for `action` away, wherever it is named word for word.
    pub(crate) fn remove(&mut self, action: &str) {
        for statement in &mut self.statements {
            if let OneOrMore::More(actions) = &mut statement.action {
                actions.retain(|named| named != action);
            }
        }
    }

    fn decide(&self, applies: impl Fn(&Statement) -> bool) -> bool {
        // Conditions are not evaluated here. A permission that hangs on one is not given, a denial always holds: a
        // client must not come to rely on a condition this simulation cannot check.
        let holds = |effect: Effect| {
            let mut statements = self.statements.iter().filter(|statement| statement.effect == effect);
            statements.any(|s| (effect == Effect::Deny || s.condition.is_none()) && applies(s))
        };
        !holds(Effect::Deny) && holds(Effect::Allow)
    }
}

impl OneOrMore {
    fn is_empty(&self) -> bool {
        matches!(self, Self::More(all) if all.is_empty())
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::One(pattern) => wildcard(pattern, text),
            Self::More(patterns) => patterns.iter().any(|pattern| wildcard(pattern, text)),
        }
    }
}

/// `*` stands for any characters, `?` for one.
///
/// Only the last star seen is ever widened: a match that needs an earlier one to be longer would need the later one to
/// be shorter, and it already starts from nothing.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[read] => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((star_at, swallowed)) = star else { return false };
                star = Some((star_at, swallowed + 1));
                at = star_at + 1;
                read = swallowed + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_beats_a_permission() {
        let policy = Policy::parse(
            r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cr:*","Resource":"*"},
                {"Effect":"Deny","Action":["cr:PullRepository"],"Resource":"acs:cr:*:*:repository/cri-x/secret/*"}]}"#,
        )
        .unwrap();
        assert!(policy.allows("cr:PullRepository", "acs:cr:cn-hangzhou:2:repository/cri-x/open/app"));
        assert!(!policy.allows("cr:PullRepository", "acs:cr:cn-hangzhou:2:repository/cri-x/secret/app"));
        assert!(!policy.allows("sts:AssumeRole", "*"));
        assert!(policy.allows_somewhere("cr:PullRepository"));
    }

    #[test]
    fn a_permission_under_a_condition_is_not_given() {
        let text = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cr:*","Resource":"*",
            "Condition":{"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}}]}"#;
        assert!(!Policy::parse(text).unwrap().allows("cr:PullRepository", "*"));
    }

    #[test]
    fn text_outside_the_grammar_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"Version":"2","Statement":[{"Effect":"Allow","Action":"cr:*","Resource":"*"}]}"#,
            r#"{"Version":"1","Statement":[]}"#,
            r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":[],"Resource":"*"}]}"#,
            r#"{"Version":"1","Statement":[{"Effect":"Maybe","Action":"cr:*","Resource":"*"}]}"#,
            r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"cr:*"}]}"#,
            r#"{"Version":"1","Statement":[{"Effect":"Allow","Actions":"cr:*","Resource":"*"}]}"#,
        ] {
            assert_eq!(Policy::parse(text).err(), Some(PolicyGrammar), "{text}");
        }
    }

    #[test]
    fn wildcards_stand_for_any_characters() {
        assert!(wildcard("cr:Get*", "cr:GetAuthorizationToken"));
        assert!(wildcard("a*b*c", "aXbYbZc"));
        assert!(wildcard("a?c", "abc"));
        assert!(!wildcard("a?c", "ac"));
        assert!(!wildcard("cr:Get", "cr:GetInstance"));
    }
}
