//! Relative links in the documents lead somewhere.

use pulldown_cmark::{Event, Parser, Tag};

use regex_lite::Regex;

use super::Source;
use crate::repository;

/// Links and pictures of every `.md` file whose target is not in the checkout.
pub(super) fn broken(sources: &[Source]) -> Vec<String> {
    let documents = sources.iter().filter(|source| source.has_extension(&["md"]));
    let links = documents.flat_map(|document| {
        let text = document.text.as_deref().unwrap_or_default();
        relative_links(text).into_iter().map(move |link| (document, link))
    });
    let broken = links.filter(|(document, link)| {
        let root = repository::root();
        let folder = document.path.strip_suffix(document.name()).unwrap_or_default();
        let target = link.strip_prefix('/').map_or_else(|| root.join(folder).join(link), |link| root.join(link));
        !target.exists()
    });
    broken.map(|(document, link)| format!("{}: the link to {link} leads nowhere", document.path)).collect()
}

/// The targets inside the repository, without their `#fragment`; pictures are often HTML, to have one for dark pages.
fn relative_links(text: &str) -> Vec<String> {
    let Ok(attribute) = Regex::new(r#"(?:src|srcset|href)="([^"]+)""#) else { return Vec::new() };
    let targets = Parser::new(text).flat_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => vec![dest_url.into_string()],
        Event::Html(html) | Event::InlineHtml(html) => {
            attribute.captures_iter(&html).filter_map(|found| Some(found.get(1)?.as_str().to_owned())).collect()
        }
        _ => Vec::new(),
    });
    let inside = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    let files = inside.filter_map(|target| target.split('#').next().map(str::to_owned));
    files.filter(|file| !file.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_into_the_repository_are_checked_and_code_is_not_a_link() {
        let text = "[a](docs/a.md#top) [b](https://example.org) ![c](c.png) [d](#here) `[e](e.md)`\n\n\
            <picture><img alt=\"f\" src=\"f.png\"></picture>";
        assert_eq!(relative_links(text), ["docs/a.md", "c.png", "f.png"]);
    }

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        let document = |text: &str| Source { path: "README.md".to_owned(), text: Some(text.to_owned()) };
        assert_eq!(broken(&[document("[gone](no-such-file.md)")]).len(), 1);
        assert!(broken(&[document("[here](Cargo.toml)")]).is_empty());
    }
}
