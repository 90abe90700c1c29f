//! No file names a folder of the machine that it was written on.

use regex_lite::Regex;

use super::Source;

/// Lines with an absolute path into somebody's home or working folder.
pub(super) fn of_one_machine(sources: &[Source]) -> Vec<String> {
    // `home` needs a name after it, so that a sentence about home directories is none of our business.
    let Ok(pattern) = Regex::new(r#"(?:^|[\s"'`(=:,])(/(?:root|work|Users/\w+|home/\w+)/[\w.-]+)"#) else {
        return vec!["the pattern of tidy's path check is broken".to_owned()];
    };
    let found = sources.iter().flat_map(|source| {
        let lines = source.text.as_deref().unwrap_or_default().lines().enumerate();
        let pattern = &pattern;
        lines.filter_map(move |(index, line)| {
            let path = pattern.captures(line)?.get(1)?.as_str();
            Some(format!("{}:{}: {path} is a path of one machine", source.path, index + 1))
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_folder_is_found_and_an_address_is_not() {
        let complaints =
            |text: &str| of_one_machine(&[Source { path: "a.md".to_owned(), text: Some(text.to_owned()) }]);
        let folder = ["home", "ada", "models"].join("/");
        assert_eq!(complaints(&format!("see /{folder}")).len(), 1);
        assert!(complaints("https://example.org/work/it and ~/.cache/tilewright").is_empty());
    }
}
