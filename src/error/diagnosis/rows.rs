//! The table itself, in its parts. It is tested for being found, for its length, and against the documentation.

mod bucket;
mod chain;
mod codes;
mod registry;

use super::{Key, Row, Sign};
use crate::error::Blame;

/// Every row, codes first.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [codes::CODES, bucket::BUCKET_CODES, chain::CHAIN, registry::REGISTRY].into_iter().flatten()
}

/// What stands where a table without a row would leave nothing to say.
pub(super) const UNKNOWN: &Row = &sign(
    Sign::UnknownCode,
    Blame::Cloud,
    [
        "another error code",
        "a code that the documentation of the APIs did not list when this was written",
        "look the code up on the error page of the API, or open a ticket with the request id",
        "look the code up",
    ],
);

/// A row by error codes, of these APIs or (none) of any: what is seen, the cause, the fix, the hint.
const fn code(
    actions: &'static [&'static str],
    codes: &'static [&'static str],
    who: Blame,
    texts: [&'static str; 4],
) -> Row {
    let [seen, cause, fix, hint] = texts;
    Row { key: Key::Code { actions, codes }, seen, who, cause, fix, hint }
}

/// A row by what the daemon saw: what is seen, the cause, the fix, the hint.
const fn sign(sign: Sign, who: Blame, texts: [&'static str; 4]) -> Row {
    let [seen, cause, fix, hint] = texts;
    Row { key: Key::Sign(sign), seen, who, cause, fix, hint }
}
