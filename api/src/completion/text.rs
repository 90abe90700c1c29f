//! Bytes to text as they come: never half a character, and in the end the same as decoding all at once.
//!
//! A character's bytes may be spread over several tokens. What can't be shown yet is at most the three first bytes of a
//! character. Bytes that no later byte can make valid become `�`, by the same rule as [`String::from_utf8_lossy`].

/// The decoder's state between tokens.
#[derive(Clone, Debug, Default)]
pub(super) struct TextDecoder {
    /// The beginning of a character.
    pending: Vec<u8>,
    /// No byte came yet, and if the first one is a space it goes.
    strips_space: bool,
}

impl TextDecoder {
    pub(super) fn new(strips_space: bool) -> Self {
        Self { pending: Vec::new(), strips_space }
    }

    /// Appends to `out` what is certain.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut String) {
        let strips_space = self.strips_space && !bytes.is_empty();
        self.strips_space &= bytes.is_empty();
        self.pending.extend_from_slice(bytes.strip_prefix(b" ").filter(|_| strips_space).unwrap_or(bytes));
        let mut start = 0;
        loop {
            let rest = self.pending.get(start..).unwrap_or_default();
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    out.push_str(text);
                    start += rest.len();
                    break;
                }
                Err(error) => {
                    let valid = rest.get(..error.valid_up_to()).unwrap_or_default();
                    out.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    start += error.valid_up_to();
                    let Some(bad) = error.error_len() else { break };
                    out.push(char::REPLACEMENT_CHARACTER);
                    start += bad;
                }
            }
        }
        self.pending.drain(..start);
    }

    /// No more bytes come.
    pub(super) fn finish(&mut self, out: &mut String) {
        out.push_str(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn in_pieces(pieces: &[Vec<u8>]) -> (Vec<String>, String) {
        let mut decoder = TextDecoder::default();
        let mut shown = Vec::new();
        for piece in pieces {
            let mut out = String::new();
            decoder.push(piece, &mut out);
            shown.push(out);
        }
        let mut rest = String::new();
        decoder.finish(&mut rest);
        (shown, rest)
    }

    #[test]
    fn a_character_is_shown_with_its_last_byte() {
        let (shown, rest) = in_pieces(&[vec![b'a', 0xf0], vec![0x9f, 0x99], vec![0x82, b'b']]);
        assert_eq!((shown, rest.as_str()), (vec!["a".to_owned(), String::new(), "🙂b".to_owned()], ""));
    }

    #[test]
    fn half_a_character_at_the_end_is_one_replacement() {
        assert_eq!(in_pieces(&[vec![0xe4, 0xbd]]), (vec![String::new()], "\u{fffd}".to_owned()));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_equal_decoding_all_at_once(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..20)) {
            let (shown, rest) = in_pieces(&pieces);
            prop_assert_eq!(shown.concat() + &rest, String::from_utf8_lossy(&pieces.concat()).into_owned());
        }

        #[test]
        fn valid_text_in_any_pieces_never_shows_a_replacement(text in "\\PC{0,30}", cuts in prop::collection::vec(0usize..120, 0..10)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < bytes.len()).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<Vec<u8>> = cuts.windows(2).map(|cut| bytes[cut[0]..cut[1]].to_vec()).collect();
            let (shown, rest) = in_pieces(&pieces);
            prop_assert_eq!(shown.concat(), text);
            prop_assert_eq!(rest, "");
        }
    }
}
