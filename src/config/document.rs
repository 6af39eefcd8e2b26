//! YAML text as a tree that remembers its lines and keeps every scalar as it was written.
//!
//! The tree knows no types: `0123` stays `0123`, so that an id or a key never turns into a number on its way. JSON is
//! read too, being YAML. Aliases and a second document are refused: no configuration needs them, and an alias can blow up
//! to any size. There is no `Debug`, since a scalar may be a secret.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::Problem;

/// Deepest nesting that is read. The deepest of ours is four; the limit keeps recursion off the end of the stack.
const DEEPEST: usize = 16;

/// A value and the line it starts on.
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a value is.
pub(super) enum Value {
    /// Nothing, `null` or `~`, unquoted.
    Null,
    /// Any text, number or boolean.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, repeated keys included.
    Map(Vec<Entry>),
}

/// A text as written.
pub(super) struct Scalar {
    pub(super) text: String,
    /// Where its own lines stand in the file.
    pub(super) lines: Lines,
}

/// How lines counted inside a text relate to lines of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// The first line of the text is this line of the file, and so on: a file of its own, or a block (`|`).
    From(usize),
    /// All of it stands on one line of the file, with escapes for line ends.
    On(usize),
}

impl Lines {
    fn place(self, line: usize) -> usize {
        match self {
            Self::From(first) => first + line.saturating_sub(1),
            Self::On(only) => only,
        }
    }
}

/// One key of a mapping.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) value: Node,
}

/// Parses one document.
///
/// # Errors
/// The first place where the text is no YAML, or is YAML that a configuration must not use.
pub(super) fn parse(text: &str, lines: Lines) -> Result<Node, Problem> {
    let mut builder = Builder { events: Parser::new_from_str(text), lines, line: lines.place(1) };
    let mut root = None;
    while let Some((event, line)) = builder.next()? {
        match event {
            Event::DocumentStart(..) if root.is_some() => {
                return Err(problem(line, "a second document begins here", "keep one document in the file"));
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => root = Some(builder.node(event, line, 0)?),
        }
    }
    Ok(root.unwrap_or(Node { line: 1, value: Value::Null }))
}

struct Builder<'a, I: Iterator<Item = Parsed<'a>>> {
    events: I,
    lines: Lines,
    line: usize,
}

type Parsed<'a> = Result<(Event<'a>, Span), serde_saphyr::granit_parser::ScanError>;

impl<'a, I: Iterator<Item = Parsed<'a>>> Builder<'a, I> {
    /// The next event with its line. The parser is built without comments.
    fn next(&mut self) -> Result<Option<(Event<'a>, usize)>, Problem> {
        let Some(parsed) = self.events.next() else { return Ok(None) };
        let (event, span) = parsed.map_err(|error| {
            let hint = "check the indentation and the quotes around this line";
            problem(self.lines.place(error.marker().line()), format!("this is not valid YAML: {}", error.kind()), hint)
        })?;
        self.line = self.lines.place(span.start.line());
        Ok(Some((event, self.line)))
    }

    /// The next event inside a collection, which cannot be the end of the text.
    fn inside(&mut self) -> Result<(Event<'a>, usize), Problem> {
        let line = self.line;
        self.next()?.ok_or_else(|| problem(line, "the text ends too early", "complete the file"))
    }

    fn node(&mut self, event: Event<'a>, line: usize, depth: usize) -> Result<Node, Problem> {
        if depth > DEEPEST {
            return Err(problem(line, "this is nested too deeply", "no key of the configuration is this deep"));
        }
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) if matches!(&*text, "" | "~" | "null" | "Null" | "NULL") => {
                Value::Null
            }
            Event::Scalar(text, style, ..) => {
                // A block (`|`) starts where its text does, on the line below its bar.
                let lines = if style == ScalarStyle::Literal { Lines::From(line) } else { Lines::On(line) };
                Value::Scalar(Scalar { text: text.into_owned(), lines })
            }
            Event::SequenceStart(..) => Value::List(self.list(depth)?),
            Event::MappingStart(..) => Value::Map(self.map(depth)?),
            _ => return Err(problem(line, "an alias is not accepted here", "write the value out")),
        };
        Ok(Node { line, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.inside()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, line) => items.push(self.node(event, line, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries = Vec::new();
        loop {
            let (event, line) = self.inside()?;
            let key = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => {
                    return Err(problem(line, "a key must be plain text", "quote it if it begins with a special sign"));
                }
            };
            let (event, value_line) = self.inside()?;
            entries.push(Entry { key, line, value: self.node(event, value_line, depth + 1)? });
        }
    }
}

fn problem(line: usize, text: impl Into<String>, hint: &str) -> Problem {
    Problem { path: String::new(), line: Some(line), text: text.into(), hint: Some(hint.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::{Lines, Node, Problem, Value, parse};

    fn parse_file(text: &str) -> Result<Node, Problem> {
        parse(text, Lines::From(1))
    }

    #[test]
    fn scalars_stay_as_they_are_written() {
        let root = parse_file("a: 0123\nb: 1e5\nc: yes\nd: null\ne: 'null'\n").unwrap();
        let Value::Map(entries) = root.value else { panic!("a mapping") };
        let texts: Vec<_> = entries
            .iter()
            .map(|entry| match &entry.value.value {
                Value::Scalar(scalar) => Some(scalar.text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(texts, [Some("0123"), Some("1e5"), Some("yes"), None, Some("null")]);
        assert_eq!(entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn json_is_yaml_too() {
        assert!(matches!(parse_file(r#"{"instances": [{"instanceId": "cri-1"}]}"#).unwrap().value, Value::Map(_)));
    }

    #[test]
    fn a_block_begins_on_the_line_below_its_bar() {
        let root = parse_file("data:\n  inner: |\n    a: 1\n    b: 2\n").unwrap();
        let Value::Map(entries) = root.value else { panic!("a mapping") };
        let Value::Map(inner) = &entries[0].value.value else { panic!("a mapping") };
        let Value::Scalar(scalar) = &inner[0].value.value else { panic!("a scalar") };
        assert_eq!((scalar.text.as_str(), scalar.lines), ("a: 1\nb: 2\n", Lines::From(3)));
    }

    #[test]
    fn what_a_configuration_must_not_use_is_refused_with_its_line() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        for (text, line) in [
            ("a: &x 1\nb: *x\n", 2),
            ("a: 1\n---\nb: 2\n", 2),
            ("a: [1\nb: 2\n", 2),
            ("a: 'open\n", 1),
            ("? [a]\n: 1\n", 1),
            (deep.as_str(), 1),
        ] {
            let Err(problem) = parse_file(text) else { panic!("{text:?} passed") };
            assert!(problem.line.is_some_and(|found| found >= line), "{text:?}: {problem:?}");
        }
    }
}
