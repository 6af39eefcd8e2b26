//! The table itself, in three parts. It is tested for being found, for its length, and against the documentation.

mod chain;
mod codes;
mod registry;

use super::{Key, Row, Sign};
use crate::error::Blame;

/// Every row, codes first.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [codes::CODES, chain::CHAIN, registry::REGISTRY].into_iter().flatten()
}

/// What stands where a table without a row would leave nothing to say.
pub(super) const UNKNOWN: &Row = &sign(
    Sign::UnknownCode,
    Blame::Cloud,
    [
        "another error code",
        "a code that the documentation does not list",
        "look the code up on the error page of the API, or open a ticket with the request id",
        "look the code up",
    ],
);

/// A row by error code, of one API or (empty) of any: what is seen, the cause, the fix, the hint.
const fn code([action, code]: [&'static str; 2], who: Blame, texts: [&'static str; 4]) -> Row {
    let [seen, cause, fix, hint] = texts;
    Row { key: Key::Code { action, code }, seen, who, cause, fix, hint }
}

/// A row by what the daemon saw: what is seen, the cause, the fix, the hint.
const fn sign(sign: Sign, who: Blame, texts: [&'static str; 4]) -> Row {
    let [seen, cause, fix, hint] = texts;
    Row { key: Key::Sign(sign), seen, who, cause, fix, hint }
}
