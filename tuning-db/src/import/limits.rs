//! How large and how deep a file may be: seen before anything is parsed.

use super::ImportError;

/// Bounds of a file that is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Levels of `[` and `{`. A record's deepest field is at 6.
    pub depth: usize,
    /// Records and trials.
    pub items: usize,
    /// Bytes of one record or trial.
    pub item_bytes: usize,
}

impl Default for Limits {
    /// Room for a year of exhaustive searches: a record is about 1 KiB.
    fn default() -> Self {
        Self { bytes: 64 << 20, depth: 16, items: 100_000, item_bytes: 256 << 10 }
    }
}

impl Limits {
    pub(super) fn check(&self, bytes: &[u8]) -> Result<(), ImportError> {
        if bytes.len() > self.bytes {
            return Err(ImportError::TooLarge { bytes: bytes.len(), most: self.bytes });
        }
        if deeper(bytes, self.depth) {
            return Err(ImportError::TooDeep { most: self.depth });
        }
        Ok(())
    }
}

/// Whether brackets outside of strings nest deeper than `most`. Of what is no JSON it says something, and the parser the rest.
fn deeper(bytes: &[u8], most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_are_no_depth() {
        assert!(!deeper(br#"{"a": "[[[[\"[[[["}"#, 1));
        assert!(deeper(b"[[1]]", 1));
        assert!(!deeper(b"[1],[1],[1]", 1));
    }
}
