//! What holds for every line of the conversation, whichever side it comes from.

use futures_util::FutureExt as _;

use super::wire::{answer, question, read_answer, read_question};
use super::{Answer, Wanted};

/// A line, as the question and as the answer.
pub(crate) fn wire(data: &[u8]) {
    if let Some(wanted) = asked(data) {
        let line = question(&wanted).unwrap_or_else(|error| panic!("{wanted:?} cannot be written: {error}"));
        assert_eq!(line.matches('\n').count(), 1, "{line:?} is not one line");
        assert_eq!(asked(line.as_bytes()).as_ref(), Some(&wanted), "{line:?} asks something else");
    }
    if let Some(said) = answered(data) {
        let line = answer(said.clone()).unwrap_or_else(|error| panic!("{said:?} cannot be written: {error}"));
        assert_eq!(line.expose().matches('\n').count(), 1, "{said:?} is not one line");
        assert_eq!(answered(line.expose().as_bytes()).as_ref(), Some(&said), "{said:?} is answered otherwise");
    }
}

fn asked(line: &[u8]) -> Option<Wanted> {
    // All of it is there, so that nothing is waited for.
    read_question(line).now_or_never()?.ok()
}

fn answered(line: &[u8]) -> Option<Answer> {
    read_answer(line).now_or_never()?.ok()
}
