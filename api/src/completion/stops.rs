//! Stop texts in a stream.
//!
//! A stop text may begin in one token and end in another, so the end of what was said is held back for as long as it
//! may be the beginning of a stop text. The match that ends first wins, and of those that end together the longest, so
//! what is said doesn't depend on how the text was cut.

/// The stop texts and what they hold back.
#[derive(Clone, Debug)]
pub(super) struct StopTexts {
    stops: Vec<String>,
    held: String,
}

impl StopTexts {
    /// Empty stop texts would stop everything; they are left out.
    pub(super) fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Appends to `out` what can be said; true if a stop text was met, after which nothing more is to be pushed.
    pub(super) fn push(&mut self, text: &str, out: &mut String) -> bool {
        self.held.push_str(text);
        let first = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()).map(|start| (start + stop.len(), start)))
            .min();
        if let Some((_, start)) = first {
            out.push_str(&self.held[..start]);
            self.held.clear();
            return true;
        }
        // Everything before the first place from which a stop text could still go on.
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest);
        let certain = (from..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| self.stops.iter().any(|stop| stop.starts_with(&self.held[at..])))
            .unwrap_or(self.held.len());
        out.push_str(&self.held[..certain]);
        self.held.drain(..certain);
        false
    }

    /// No more text comes, so what was held back is said after all.
    pub(super) fn finish(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut texts = StopTexts::new(&stops);
        let mut said = Vec::new();
        for piece in pieces {
            let mut out = String::new();
            let stopped = texts.push(piece, &mut out);
            said.push(out);
            if stopped {
                return (said, true);
            }
        }
        let mut rest = String::new();
        texts.finish(&mut rest);
        said.push(rest);
        (said, false)
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_stop_text_over_three_pieces_is_never_shown() {
        assert_eq!(said(&["STOP"], &["abcS", "TO", "Pdef"]), (strings(&["abc", "", ""]), true));
    }

    #[test]
    fn what_looked_like_a_stop_text_is_shown_once_it_is_none() {
        assert_eq!(said(&["STOP"], &["abcST", "ART"]), (strings(&["abc", "START", ""]), false));
        assert_eq!(said(&["STOP"], &["abcSTO"]), (strings(&["abc", "STO"]), false));
    }

    #[test]
    fn a_stop_text_that_repeats_its_beginning_is_found() {
        assert_eq!(said(&["aab"], &["a", "a", "a", "b"]), (strings(&["", "", "a", ""]), true));
    }

    #[test]
    fn the_match_that_ends_first_wins() {
        assert_eq!(said(&["abcd", "b"], &["xabcd"]), (strings(&["xa"]), true));
        assert_eq!(said(&["ab", "b"], &["xab"]), (strings(&["x"]), true));
    }

    #[test]
    fn stop_texts_may_hold_characters_of_several_bytes() {
        assert_eq!(said(&["é🙂"], &["né", "🙃é", "🙂!"]), (strings(&["n", "é🙃", ""]), true));
    }

    proptest! {
        #[test]
        fn how_the_text_is_cut_changes_nothing(
            text in "[abé]{0,24}",
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            cuts in prop::collection::vec(0usize..48, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < text.len() && text.is_char_boundary(cut)).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let (shown, stopped) = said(&stops, &pieces);

            // By definition: the shortest beginning of the text that ends with a stop text, without the longest such.
            let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
            let mut expected = (text.clone(), false);
            for end in ends {
                let longest = stops.iter().filter(|stop| text[..end].ends_with(**stop)).map(|stop| stop.len()).max();
                if let Some(longest) = longest {
                    expected = (text[..end - longest].to_owned(), true);
                    break;
                }
            }
            prop_assert_eq!((shown.concat(), stopped), expected);
        }
    }
}
