//! safetensors headers that lie, one test per lie. Each is read whole, in single bytes, and with known length.

use crate::recorder::{Format, error_of, error_of_known_length, read};
use tilewright_formats::safetensors::MAX_HEADER_BYTES;
use tilewright_formats::{DType, FormatError};

fn file() -> String {
    "model.safetensors".to_owned()
}

/// A file with this JSON and so many bytes of data.
fn with_json(json: &str, data: usize) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), &vec![0; data]].concat()
}

fn error(json: &str, data: usize) -> FormatError {
    error_of(Format::Safetensors, &with_json(json, data))
}

fn json_error(json: &str) -> String {
    match error(json, 64) {
        FormatError::Json { file, message } if file == self::file() => message,
        other => panic!("{other:?}"),
    }
}

/// One tensor `t`.
fn one(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

#[test]
fn a_header_of_2_to_the_63_bytes_is_refused_at_once() {
    for length in [MAX_HEADER_BYTES + 1, 1 << 63, u64::MAX] {
        let bytes = [&length.to_le_bytes()[..], b"{\""].concat();
        let what = format!("a header of {length} bytes");
        let unknown = read(Format::Safetensors, &bytes, None, &[]).expect_err("it is too large");
        assert_eq!(
            unknown,
            FormatError::HeaderTooLarge { file: file(), what: what.clone(), limit: MAX_HEADER_BYTES + 8 }
        );
        let known = error_of_known_length(Format::Safetensors, &bytes);
        assert_eq!(known, FormatError::HeaderPastEnd { file: file(), what, file_len: 10 });
    }
}

#[test]
fn a_file_of_another_kind_is_an_error_that_says_what_it_is() {
    for (start, word) in [
        (&b"<!DOCTYPE html><html>"[..], "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0", "GGUF"),
        (b"PK\x03\x04\0\0\0\0\0\0", "zip"),
        (b"{\"weight_map\": {}}", "JSON"),
        (b"\x10\0\0\0\0\0\0\0[", "nothing known"),
        (b"\0\0\0\0\0\0\0\0\0", "nothing known"),
    ] {
        let error = error_of(Format::Safetensors, start);
        let said =
            matches!(&error, FormatError::NotThisFormat { format: "safetensors", found, .. } if found.contains(word));
        assert!(said, "{error:?}");
    }
}

#[test]
fn json_that_is_cut_or_wrong_is_an_error_that_says_where() {
    assert!(json_error("{").contains("EOF"));
    assert!(json_error("{\"t\": 1}").contains("tensor \"t\": invalid type: integer `1`"));
    assert!(json_error(r#"{"t":{"dtype":"F32","shape":[1]}}"#).contains("missing field `data_offsets`"));
    assert!(json_error("{} x").contains("trailing characters"));
    for (shape, offsets) in
        [("[-1]", "[0,4]"), ("[1.5]", "[0,4]"), ("[1e3]", "[0,4]"), ("4", "[0,4]"), ("[1]", "[0]"), ("[1]", "[0,4,8]")]
    {
        json_error(&one("F32", shape, offsets));
    }
    let twice = r#"{"t":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}}"#;
    assert!(json_error(twice).contains("duplicate field `dtype`"));
}

#[test]
fn deeply_nested_json_is_an_error_and_not_a_crash() {
    for opening in ["[", "{\"a\":"] {
        let deep = opening.repeat(1_000_000);
        let bytes = with_json(&format!("{{\"t\":{deep}"), 0);
        let error = read(Format::Safetensors, &bytes, None, &[]).expect_err("it is not valid");
        assert!(matches!(error, FormatError::Json { .. }), "{error:?}");
        let bytes = with_json(&format!("{{\"__metadata__\":{deep}"), 0);
        let error = read(Format::Safetensors, &bytes, None, &[]).expect_err("it is not valid");
        assert!(matches!(error, FormatError::Json { .. }), "{error:?}");
    }
}

#[test]
fn a_json_error_does_not_quote_the_file_at_length() {
    let message = json_error(&format!("{{\"t\":\"{}\"}}", "x".repeat(10_000)));
    assert!(message.len() < 500, "{}", message.len());
}

#[test]
fn a_header_that_is_not_utf_8_is_an_error() {
    let bytes = [&5u64.to_le_bytes()[..], b"{\"\xff\"}"].concat();
    let what = "the header".to_owned();
    assert_eq!(error_of(Format::Safetensors, &bytes), FormatError::NotUtf8 { file: file(), what });
}

#[test]
fn a_tensor_name_that_occurs_twice_is_an_error_that_names_it() {
    let entry = r#""t":{"dtype":"F32","shape":[1],"data_offsets":"#;
    let error = error(&format!("{{{entry}[0,4]}},{entry}[4,8]}}}}"), 8);
    assert_eq!(error, FormatError::DuplicateTensor { file: file(), tensor: "t".into() });
}

#[test]
fn a_tensor_name_longer_than_65535_bytes_is_an_error() {
    let json = one("F32", "[1]", "[0,4]").replace("\"t\"", &format!("\"{}\"", "n".repeat(70_000)));
    let error = read(Format::Safetensors, &with_json(&json, 4), None, &[]).expect_err("the name is too long");
    assert!(matches!(error, FormatError::NameTooLong { length: 70_000, .. }), "{error:?}");
}

#[test]
fn overlapping_tensors_are_an_error_that_names_both() {
    let json = r#"{"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    assert_eq!(error(json, 12), FormatError::Overlap { file: file(), first: "a".into(), second: "b".into() });
}

#[test]
fn offsets_that_contradict_shape_and_type_are_an_error_that_names_the_tensor() {
    for (offsets, found) in [("[0,4]", 4), ("[0,16]", 16), ("[8,0]", -8), ("[0,0]", 0)] {
        let expected = FormatError::WrongTensorSize { file: file(), tensor: "t".into(), expected: 8, found };
        assert_eq!(error(&one("F32", "[2]", offsets), 16), expected);
    }
}

#[test]
fn a_tensor_past_the_end_is_found_at_once_when_the_length_is_known_and_else_at_the_end() {
    let json = one("F32", "[2]", "[1000,1008]");
    let bytes = with_json(&json, 100);
    let data = 8 + json.len() as u64;
    let unknown = read(Format::Safetensors, &bytes, None, &[]).expect_err("the data is missing");
    let place = "the data of tensor \"t\"".to_owned();
    assert_eq!(unknown, FormatError::Truncated { file: file(), place, got: data + 100 });
    let known = error_of_known_length(Format::Safetensors, &bytes);
    assert_eq!(
        known,
        FormatError::PastEnd { file: file(), tensor: "t".into(), end: data + 1008, file_len: data + 100 }
    );
}

#[test]
fn sizes_and_offsets_that_overflow_are_an_error_that_names_the_tensor() {
    let overflow = FormatError::SizeOverflow { file: file(), tensor: "t".into() };
    assert_eq!(error(&one("F32", "[4294967296,4294967296]", "[0,0]"), 0), overflow);
    assert_eq!(error(&one("F32", "[4611686018427387904]", "[0,0]"), 0), overflow);
    assert_eq!(error(&one("F32", "[1]", "[18446744073709551611,18446744073709551615]"), 0), overflow);
    assert_eq!(error(&one("F32", "[4611686018427387903]", "[0,18446744073709551612]"), 0), overflow);
}

#[test]
fn a_number_beyond_64_bits_is_an_error() {
    json_error(&one("F32", "[18446744073709551616]", "[0,4]"));
}

#[test]
fn a_tensor_type_that_cannot_be_read_is_an_error_with_its_name() {
    for dtype in ["I64", "F8_E4M3", "BOOL", "f32", "Q4_0", ""] {
        let expected = FormatError::UnsupportedDType { file: file(), tensor: "t".into(), dtype: dtype.into() };
        assert_eq!(error(&one(dtype, "[1]", "[0,8]"), 8), expected);
    }
}

#[test]
fn a_tensor_with_a_dimension_of_length_0_is_an_error_that_names_it() {
    let expected = FormatError::EmptyTensor { file: file(), tensor: "t".into() };
    assert_eq!(error(&one("F32", "[4,0]", "[0,0]"), 0), expected);
}

#[test]
fn a_tensor_without_dimensions_or_with_more_than_4_is_an_error_that_names_it() {
    for (shape, rank) in [("[]", 0), ("[1,1,1,1,1]", 5)] {
        assert_eq!(
            error(&one("F32", shape, "[0,4]"), 4),
            FormatError::BadRank { file: file(), tensor: "t".into(), rank }
        );
    }
    let long = format!("[{}1]", "1,".repeat(1_000_000));
    let error = read(Format::Safetensors, &with_json(&one("F32", &long, "[0,4]"), 4), None, &[]);
    assert!(matches!(error, Err(FormatError::BadRank { rank: 1_000_001, .. })), "{error:?}");
}

#[test]
fn a_header_that_ends_early_is_an_error_that_says_where() {
    let bytes = with_json(&one("F32", "[1]", "[0,4]"), 3);
    for (end, place) in [
        (0, "the length of the header"),
        (8, "the length of the header"),
        (20, "the header of 54 bytes"),
        (bytes.len(), "the data of tensor \"t\""),
    ] {
        let error = read(Format::Safetensors, &bytes[..end], None, &[]).expect_err("bytes are missing");
        assert_eq!(error, FormatError::Truncated { file: file(), place: place.into(), got: end as u64 });
    }
}

#[test]
fn unknown_fields_metadata_and_gaps_are_skipped() {
    let json = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[1,2],"data_offsets":[6,10],"new":[{}]},
        "a":{"data_offsets":[0,4],"shape":[2],"dtype":"F16"}}   "#;
    let (header, recorder) = read(Format::Safetensors, &with_json(json, 15), None, &[40, 300]).expect("it is valid");
    let tensors: Vec<_> = header.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.dtype)).collect();
    assert_eq!(tensors, [("a", DType::F16), ("b", DType::Bf16)]);
    assert_eq!(recorder.data, [vec![0; 4], vec![0; 4]]);
}
