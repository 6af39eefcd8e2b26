//! What `--dry-run` shows.

use std::fmt::Write;
use std::path::Path;

/// Unchanged lines around a change, as `diff -u` has them.
const CONTEXT: usize = 3;

/// A unified diff in one hunk, from the first line that differs to the last; empty where nothing differs. `None` stands
/// for a file that is not there.
#[must_use]
pub fn unified(path: &Path, before: Option<&str>, after: Option<&str>) -> String {
    if before == after {
        return String::new();
    }
    let name = |text: Option<&str>| text.map_or_else(|| "/dev/null".to_owned(), |_| path.display().to_string());
    let mut diff = format!("--- {}\n+++ {}\n", name(before), name(after));
    let (old, new) = (lines(before), lines(after));
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(&new).take_while(same).count();
    let most = old.len().min(new.len()) - head;
    let tail = old.iter().rev().zip(new.iter().rev()).take(most).take_while(same).count();

    let start = head.saturating_sub(CONTEXT);
    let shown = |lines: &[&str]| lines.len() - tail + tail.min(CONTEXT) - start;
    let place = |count: usize| if count == 0 { start } else { start + 1 };
    let (removed, added) = (shown(&old), shown(&new));
    // Writing to a String cannot fail.
    writeln!(diff, "@@ -{},{removed} +{},{added} @@", place(removed), place(added)).ok();
    let mut tell = |sign: char, lines: &[&str], from: usize, to: usize| {
        for line in lines.iter().take(to).skip(from) {
            let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            write!(diff, "{sign}{line}{end}").ok();
        }
    };
    tell(' ', &old, start, head);
    tell('-', &old, head, old.len() - tail);
    tell('+', &new, head, new.len() - tail);
    tell(' ', &old, old.len() - tail, old.len() - tail + tail.min(CONTEXT));
    diff
}

fn lines(text: Option<&str>) -> Vec<&str> {
    text.unwrap_or_default().split_inclusive('\n').collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::unified;

    fn diff(before: Option<&str>, after: Option<&str>) -> String {
        unified(Path::new("/f"), before, after)
    }

    #[test]
    fn a_change_has_three_lines_around_it() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n";
        let after = "1\n2\n3\n4\nnew\n6\n7\n8\n";
        assert_eq!(
            diff(Some(before), Some(after)),
            "--- /f\n+++ /f\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+new\n 6\n 7\n 8\n"
        );
    }

    #[test]
    fn files_come_and_go() {
        assert_eq!(diff(None, Some("a\n")), "--- /dev/null\n+++ /f\n@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(diff(Some("a\n"), None), "--- /f\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n");
        assert_eq!(diff(Some("a\n"), Some("a\n")), "");
    }

    #[test]
    fn a_last_line_without_end_is_told() {
        let text = diff(Some("a"), Some("a\nb"));
        assert_eq!(
            text,
            "--- /f\n+++ /f\n@@ -1,1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n"
        );
    }
}
