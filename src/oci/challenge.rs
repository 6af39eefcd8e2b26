//! `WWW-Authenticate` as RFC 9110 section 11.6.1 writes it: several challenges, in one line or several, with
//! quoted-strings that may hold commas and escaped quotes.
//!
//! Nobody else splits this header. The values are texts of the other side: `realm` in particular is not yet a URL that
//! may be trusted.

use super::Malformed;

/// Most challenges of one header value; registries send one or two.
const MOST_CHALLENGES: usize = 8;
/// Most parameters of one challenge; registries send four.
const MOST_PARAMETERS: usize = 16;

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    /// Names in lower case, values unquoted.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Every challenge of one header value, in order.
    ///
    /// # Errors
    /// [`Malformed`] where the value breaks the grammar, or is out of all proportion.
    pub fn parse_all(value: &str) -> Result<Vec<Self>, Malformed> {
        Reader { rest: value }.challenges().ok_or(Malformed::new("challenge", "must follow RFC 9110 section 11.6.1"))
    }

    /// The first `Bearer` challenge among several header lines; lines that are malformed count as absent.
    #[must_use]
    pub fn bearer<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        values.into_iter().filter_map(|value| Self::parse_all(value).ok()).flatten().find(|one| one.is("bearer"))
    }

    /// Whether it is of this scheme; case does not matter.
    #[must_use]
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// Where the bearer is to be asked for.
    #[must_use]
    pub fn realm(&self) -> Option<&str> {
        self.parameter("realm")
    }

    /// For which service; opaque.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        self.parameter("service")
    }

    /// With which scope.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.parameter("scope")
    }

    /// Why the credentials that came with the request were not enough (RFC 6750 section 3.1), such as
    /// `insufficient_scope`.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.parameter("error")
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn challenges(mut self) -> Option<Vec<Challenge>> {
        let mut challenges: Vec<Challenge> = Vec::new();
        self.commas();
        while !self.rest.is_empty() {
            let word = self.token()?;
            self.spaces();
            // `name =` continues the challenge before; anything else begins a new one. A token68 is told from a
            // parameter by what follows: nothing of interest to a registry, so it is skipped.
            if self.eat('=') {
                let parameters = &mut challenges.last_mut()?.parameters;
                if parameters.len() == MOST_PARAMETERS {
                    return None;
                }
                self.spaces();
                parameters.push((word.to_ascii_lowercase(), self.value()?));
            } else {
                if challenges.len() == MOST_CHALLENGES {
                    return None;
                }
                challenges.push(Challenge { scheme: word.to_owned(), parameters: Vec::new() });
                self.token68();
                if !self.at_end() && !self.rest.starts_with(',') {
                    continue;
                }
            }
            self.spaces();
            if !self.at_end() && !self.rest.starts_with(',') {
                return None;
            }
            self.commas();
        }
        if challenges.is_empty() { None } else { Some(challenges) }
    }

    const fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn eat(&mut self, expected: char) -> bool {
        let rest = self.rest.strip_prefix(expected);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn commas(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    /// RFC 9110 section 5.6.2; at least one character.
    fn token(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// Skips a token68 such as the base64 of `Negotiate`, if there is one before the next comma.
    fn token68(&mut self) {
        let (candidate, rest) = self.rest.split_at(self.rest.find(',').unwrap_or(self.rest.len()));
        let text = candidate.trim_end_matches([' ', '\t']).trim_end_matches('=');
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/');
        if !text.is_empty() && text.chars().all(fits) {
            self.rest = rest;
        }
    }

    /// A token or a quoted-string.
    fn value(&mut self) -> Option<String> {
        if !self.eat('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut characters = self.rest.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(characters.next()?),
                other => value.push(other),
            }
        }
        self.rest = characters.as_str();
        Some(value)
    }
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests;
