//! What a file is that is not what was asked for.
//!
//! The usual wrong file is not a damaged model: it is the web page of a mirror's error, a Git LFS pointer, or the other
//! format under the wrong name. Naming it saves a person an hour.

/// Says what a file is that begins with `start` (8 bytes are enough), if that is known.
pub(crate) fn looks_like(start: &[u8]) -> Option<&'static str> {
    let begins =
        |prefix: &str| start.len() >= prefix.len() && start[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes());
    // A GGUF header is binary, and safetensors begins with a length that ends in zero bytes, so text is neither.
    if begins("GGUF") {
        Some("a GGUF file; load it as one")
    } else if begins("GGML") || begins("lmgg") || begins("tjgg") {
        Some("a file of llama.cpp's before GGUF; convert the model again with a current llama.cpp")
    } else if begins("vers") {
        Some("a Git LFS pointer, not the model itself; download the file that it points to (`git lfs pull`)")
    } else if begins("<!do") || begins("<htm") || begins("<?xm") {
        Some("a web page; check the address, and whether it needs a login")
    } else if begins("PK\u{3}\u{4}") {
        Some("a zip archive or a PyTorch checkpoint; convert the model to safetensors or GGUF")
    } else if start.starts_with(&[0x80, 2, b'}']) || start.starts_with(&[0x80, 2, 0x8a]) {
        Some("a Python pickle; convert the model to safetensors or GGUF")
    } else if start.starts_with(&[0x1f, 0x8b]) {
        Some("a gzip archive; unpack it first")
    } else if begins("{") && start.get(4..8) != Some(&[0; 4]) {
        Some("JSON; a model's weights are in its .gguf or .safetensors files")
    } else if start.get(4..9) == Some(&[0, 0, 0, 0, b'{']) {
        Some("a safetensors file; load it as one")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like;

    #[test]
    fn the_usual_wrong_files_are_named() {
        for (start, word) in [
            (&b"GGUF\x03\0\0\0"[..], "GGUF"),
            (b"version https://git-lfs", "Git LFS"),
            (b"<!DOCTYPE html>", "web page"),
            (b"<html>", "web page"),
            (b"PK\x03\x04aaaa", "zip"),
            (b"\x80\x02}q\0", "pickle"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"{\"error\": 1}", "JSON"),
            (b"{\x01\0\0\0\0\0\0{", "safetensors"),
            (b"\x18\x0c\0\0\0\0\0\0{", "safetensors"),
        ] {
            assert!(looks_like(start).is_some_and(|said| said.contains(word)), "{start:?}");
        }
        assert_eq!(looks_like(b"\x18\x0c\0\0\0\0\0\0["), None);
        assert_eq!(looks_like(b""), None);
    }
}
