//! A file is one idea: short enough to read, and named after the idea.

use super::Source;

/// No file of code is longer.
const MOST_LINES: usize = 500;

/// Names that say nothing about what is inside.
const SAYS_NOTHING: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager", "manager2"];

/// Files of code with more than [`MOST_LINES`] lines.
pub(super) fn lengths(sources: &[Source]) -> Vec<String> {
    let long =
        sources.iter().filter(|source| source.has_extension(&["rs", "ts", "js", "mjs", "wgsl"])).filter_map(|source| {
            let lines = source.text.as_ref()?.lines().count();
            (lines > MOST_LINES).then(|| format!("{}: {lines} lines, more than {MOST_LINES}: two ideas?", source.path))
        });
    long.collect()
}

/// Files and folders whose name is one of [`SAYS_NOTHING`].
pub(super) fn forbidden(sources: &[Source]) -> Vec<String> {
    let empty = sources.iter().filter_map(|source| {
        let part = source.path.split('/').find(|part| {
            let stem = part.split('.').next().unwrap_or_default();
            SAYS_NOTHING.contains(&stem.to_lowercase().as_str())
        })?;
        Some(format!("{}: {part:?} says nothing: name it after what it holds", source.path))
    });
    empty.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: Some(text.to_owned()) }
    }

    #[test]
    fn a_file_of_501_lines_is_too_long_and_one_of_500_is_not() {
        assert!(lengths(&[source("a.rs", &"x\n".repeat(500))]).is_empty());
        assert_eq!(lengths(&[source("a.rs", &"x\n".repeat(501))]).len(), 1);
        assert!(lengths(&[source("data.json", &"x\n".repeat(501))]).is_empty());
    }

    #[test]
    fn a_name_that_says_nothing_is_found_in_files_and_folders() {
        assert_eq!(forbidden(&[source("web/utils.ts", ""), source("tests/common/mod.rs", "")]).len(), 2);
        assert!(forbidden(&[source("engine/memory.rs", ""), source("docs/common-errors.md", "")]).is_empty());
    }
}
