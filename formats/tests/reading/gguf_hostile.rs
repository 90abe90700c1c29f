//! GGUF headers that lie, one test per lie. Each is read whole, in single bytes, and with known length.

use crate::recorder::{Format, error_of, error_of_known_length, read};
use tilewright_formats::gguf::{self, MAX_HEADER_BYTES, MAX_KEYS, MAX_NESTING, Metadata, Value};
use tilewright_formats::header::MAX_TENSORS;
use tilewright_formats::{DType, FormatError};

const FILE: &str = "model.gguf";

/// A GGUF written field by field.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl Raw {
    fn new(tensors: u64, keys: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(keys)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn text(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    /// `ne` is innermost first.
    fn tensor(self, name: &str, ne: &[u64], dtype: u32, offset: u64) -> Self {
        let raw = self.text(name).u32(ne.len() as u32);
        ne.iter().fold(raw, |raw, &length| raw.u64(length)).u32(dtype).u64(offset)
    }

    /// The error of the file as it is, which has to be the same however it is read.
    fn error(&self) -> FormatError {
        error_of(Format::Gguf, &self.0)
    }

    /// The error with enough zero bytes behind the header.
    fn error_with_data(self, bytes: usize) -> FormatError {
        self.bytes(&vec![0; bytes]).error()
    }

    /// The errors without and with known length, where they differ.
    fn errors(&self) -> (FormatError, FormatError) {
        (
            read(Format::Gguf, &self.0, None, &[7]).expect_err("the file is bad"),
            error_of_known_length(Format::Gguf, &self.0),
        )
    }
}

fn file() -> String {
    FILE.to_owned()
}

#[test]
fn a_count_of_2_to_the_60_tensors_is_refused_at_once() {
    let error = Raw::new(1 << 60, 0).error();
    assert_eq!(error, FormatError::TooMany { file: file(), what: "tensors", count: 1 << 60, limit: MAX_TENSORS });
}

#[test]
fn a_count_of_2_to_the_60_keys_is_refused_at_once() {
    let error = Raw::new(0, 1 << 60).error();
    assert_eq!(error, FormatError::TooMany { file: file(), what: "metadata keys", count: 1 << 60, limit: MAX_KEYS });
}

#[test]
fn counts_that_the_file_cannot_hold_are_refused_at_once_when_its_length_is_known() {
    let (unknown, known) = Raw::new(1000, 10).errors();
    assert!(matches!(unknown, FormatError::Truncated { .. }), "{unknown:?}");
    let what = "a header with 10 metadata keys and 1000 tensors".to_owned();
    assert_eq!(known, FormatError::HeaderPastEnd { file: file(), what, file_len: 24 });
}

#[test]
fn an_array_of_2_to_the_60_elements_is_refused_at_once() {
    for element in [0u32, 4, 8, 9, 12] {
        let (unknown, known) = Raw::new(0, 1).text("k").u32(9).u32(element).u64(1 << 60).errors();
        assert!(
            matches!(&unknown, FormatError::HeaderTooLarge { what, limit: MAX_HEADER_BYTES, .. }
                if what.contains("1152921504606846976") && what.contains("\"k\"")),
            "{unknown:?}"
        );
        assert!(matches!(known, FormatError::HeaderPastEnd { .. }), "{known:?}");
    }
}

#[test]
fn a_string_of_2_to_the_63_bytes_is_refused_at_once() {
    for length in [1 << 63, u64::MAX] {
        let (unknown, known) = Raw::new(0, 1).text("k").u32(8).u64(length).errors();
        let what = format!("the value of key \"k\" with {length} bytes");
        assert_eq!(unknown, FormatError::HeaderTooLarge { file: file(), what, limit: MAX_HEADER_BYTES });
        assert!(matches!(known, FormatError::HeaderPastEnd { .. }), "{known:?}");
    }
}

#[test]
fn a_string_of_an_array_that_is_2_to_the_63_bytes_long_is_refused_at_once() {
    let raw = Raw::new(0, 1).text("k").u32(9).u32(8).u64(2).text("a").u64(1 << 63).bytes(&[0; 8]);
    let (unknown, known) = raw.errors();
    let what = format!("string 1 of key \"k\" with {} bytes", 1u64 << 63);
    assert_eq!(unknown, FormatError::HeaderTooLarge { file: file(), what, limit: MAX_HEADER_BYTES });
    assert!(matches!(known, FormatError::HeaderPastEnd { .. }), "{known:?}");
}

#[test]
fn a_key_longer_than_65535_bytes_is_refused_at_once() {
    let error = Raw::new(0, 1).u64(65536).bytes(&[0; 8]).error();
    let what = "the name of metadata key 1 of 1".to_owned();
    assert_eq!(error, FormatError::NameTooLong { file: file(), what, length: 65536 });
}

#[test]
fn a_tensor_name_longer_than_65535_bytes_is_refused_at_once() {
    let error = Raw::new(1, 0).u64(1 << 63).bytes(&[0; 40]).error();
    let what = "the name in the description of tensor 1 of 1".to_owned();
    assert_eq!(error, FormatError::NameTooLong { file: file(), what, length: 1 << 63 });
}

#[test]
fn arrays_that_are_large_only_together_end_at_the_header_limit() {
    let half = vec![0; MAX_HEADER_BYTES as usize / 2];
    let array = |raw: Raw, key: &str| raw.text(key).u32(9).u32(0).u64(half.len() as u64);
    let raw = array(array(Raw::new(0, 2), "a").bytes(&half), "b").bytes(&half);
    let error = read(Format::Gguf, &raw.0, None, &[]).expect_err("it is too large");
    assert!(matches!(&error, FormatError::HeaderTooLarge { what, .. } if what.contains("\"b\"")), "{error:?}");
}

#[test]
fn arrays_nested_deeper_than_the_limit_are_refused() {
    let nested = |depth: usize| {
        let raw = Raw::new(0, 1).text("k").u32(9);
        (1..depth).fold(raw, |raw, _| raw.u32(9).u64(1)).u32(0).u64(1).bytes(&[7])
    };
    assert_eq!(
        nested(MAX_NESTING + 1).error(),
        FormatError::NestedTooDeep { file: file(), key: "k".into(), limit: MAX_NESTING }
    );
    assert_eq!(
        nested(100_000).errors().0,
        FormatError::NestedTooDeep { file: file(), key: "k".into(), limit: MAX_NESTING }
    );
    let (header, _) = read(Format::Gguf, &nested(MAX_NESTING).0, None, &[]).expect("it is within the limit");
    assert_eq!(header.gguf.map(|metadata| metadata.len()), Some(1));
}

#[test]
fn a_key_that_occurs_twice_is_an_error_that_names_it() {
    let error = Raw::new(0, 2).text("k").u32(0).bytes(&[1]).text("k").u32(0).bytes(&[2]).error();
    assert_eq!(error, FormatError::DuplicateKey { file: file(), key: "k".into() });
}

#[test]
fn a_tensor_name_that_occurs_twice_is_an_error_that_names_it() {
    let error = Raw::new(2, 0).tensor("t", &[1], 0, 0).tensor("t", &[1], 0, 32).error_with_data(200);
    assert_eq!(error, FormatError::DuplicateTensor { file: file(), tensor: "t".into() });
}

#[test]
fn overlapping_tensors_are_an_error_that_names_both() {
    let error = Raw::new(2, 0).tensor("b", &[4], 0, 32).tensor("a", &[9], 0, 0).error_with_data(200);
    assert_eq!(error, FormatError::Overlap { file: file(), first: "a".into(), second: "b".into() });
}

#[test]
fn an_offset_that_is_not_aligned_is_an_error_that_names_the_tensor() {
    let error = Raw::new(1, 0).tensor("t", &[4], 0, 16).error_with_data(200);
    assert_eq!(error, FormatError::Misaligned { file: file(), tensor: "t".into(), offset: 16, alignment: 32 });
}

#[test]
fn a_tensor_past_the_end_is_found_at_once_when_the_length_is_known_and_else_at_the_end() {
    let raw = Raw::new(1, 0).tensor("t", &[64], 0, 1 << 40).bytes(&[0; 300]);
    let (unknown, known) = raw.errors();
    let len = raw.0.len() as u64;
    let place = "the data of tensor \"t\"".to_owned();
    assert_eq!(unknown, FormatError::Truncated { file: file(), place, got: len });
    let end = 64 + (1 << 40) + 64 * 4;
    assert_eq!(known, FormatError::PastEnd { file: file(), tensor: "t".into(), end, file_len: len });
    let mut stream = Format::Gguf.stream(Some(len));
    assert_eq!(stream.push(&raw.0[..60], &mut crate::recorder::Recorder::default()), Err(known));
}

#[test]
fn an_offset_whose_end_overflows_is_an_error_that_names_the_tensor() {
    let overflow = FormatError::SizeOverflow { file: file(), tensor: "t".into() };
    assert_eq!(Raw::new(1, 0).tensor("t", &[64], 0, u64::MAX - 31).error_with_data(64), overflow);
    // Within 64 bits from the beginning of the data, and not from the beginning of the file.
    assert_eq!(Raw::new(1, 0).tensor("t", &[1], 0, u64::MAX - 63).error_with_data(64), overflow);
}

#[test]
fn a_shape_whose_size_overflows_is_an_error_that_names_the_tensor() {
    let overflow = FormatError::SizeOverflow { file: file(), tensor: "t".into() };
    for ne in [&[1 << 32, 1 << 32][..], &[1 << 62, 4], &[1 << 62], &[u64::MAX; 4]] {
        assert_eq!(Raw::new(1, 0).tensor("t", ne, 0, 0).error_with_data(64), overflow, "{ne:?}");
    }
}

#[test]
fn a_tensor_with_a_dimension_of_length_0_is_an_error_that_names_it() {
    let error = Raw::new(1, 0).tensor("t", &[32, 0], 0, 0).error_with_data(64);
    assert_eq!(error, FormatError::EmptyTensor { file: file(), tensor: "t".into() });
}

#[test]
fn a_tensor_without_dimensions_or_with_more_than_4_is_an_error_that_names_it() {
    for rank in [0u32, 5, u32::MAX] {
        let error = Raw::new(1, 0).text("t").u32(rank).bytes(&[1; 100]).error();
        assert_eq!(error, FormatError::BadRank { file: file(), tensor: "t".into(), rank: rank.into() });
    }
}

#[test]
fn rows_that_are_not_whole_blocks_are_an_error_that_names_the_tensor() {
    for dtype in DType::ALL.into_iter().filter(|dtype| !dtype.is_dense()) {
        let number = match dtype {
            DType::Q4_0 => 2,
            DType::Q4_1 => 3,
            DType::Q5_0 => 6,
            DType::Q5_1 => 7,
            DType::Q8_0 => 8,
            DType::Q4K => 12,
            DType::Q5K => 13,
            _ => 14,
        };
        let row = dtype.block_len() / 2;
        let error = Raw::new(1, 0).tensor("t", &[row, 2], number, 0).error_with_data(64);
        assert_eq!(error, FormatError::PartialBlock { file: file(), tensor: "t".into(), dtype, row });
    }
}

#[test]
fn a_tensor_type_that_cannot_be_read_is_an_error_with_its_name() {
    for (number, name) in [(16, "IQ2_XXS"), (10, "Q2_K"), (39, "MXFP4"), (999, "number 999 (unknown)")] {
        let error = Raw::new(1, 0).tensor("blk.0.ffn_up.weight", &[256], number, 0).error_with_data(64);
        let tensor = "blk.0.ffn_up.weight".to_owned();
        assert_eq!(error, FormatError::UnsupportedDType { file: file(), tensor, dtype: name.into() });
    }
}

#[test]
fn text_that_is_not_utf_8_is_an_error_that_says_where() {
    let bad = |raw: Raw| raw.u64(2).bytes(&[0xff, 0xfe]);
    for (raw, what) in [
        (bad(Raw::new(0, 1)).u32(0).bytes(&[0]), "the name of metadata key 1 of 1"),
        (bad(Raw::new(0, 1).text("k").u32(8)), "the value of key \"k\""),
        (bad(Raw::new(0, 1).text("k").u32(9).u32(8).u64(2).text("é")), "string 1 of key \"k\""),
        (bad(Raw::new(1, 0)).bytes(&[0; 24]), "the name in the description of tensor 1 of 1"),
    ] {
        assert_eq!(raw.error(), FormatError::NotUtf8 { file: file(), what: what.into() });
    }
}

#[test]
fn a_file_of_another_kind_is_an_error_that_says_what_it_is() {
    for (start, word) in [
        (&b"<!DOCTYPE html><html>"[..], "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
        (b"\0\0\0\0\0\0\0\0\0", "nothing known"),
    ] {
        let error = error_of(Format::Gguf, start);
        assert!(
            matches!(&error, FormatError::NotThisFormat { file, format: "GGUF", found } if file == FILE && found.contains(word)),
            "{error:?}"
        );
    }
}

#[test]
fn a_big_endian_file_is_an_error_that_says_so() {
    let raw = Raw(b"GGUF".to_vec()).bytes(&3u32.to_be_bytes()).bytes(&1u64.to_be_bytes()).bytes(&1u64.to_be_bytes());
    assert_eq!(raw.error(), FormatError::BigEndian { file: file() });
}

#[test]
fn a_version_other_than_2_and_3_is_an_error_that_names_it() {
    for version in [0, 1, 4, u32::MAX] {
        let error = Raw(b"GGUF".to_vec()).u32(version).u64(0).u64(0).error();
        assert_eq!(error, FormatError::UnsupportedVersion { file: file(), version });
    }
}

#[test]
fn version_2_reads_as_version_3_does() {
    let raw = Raw(b"GGUF".to_vec()).u32(2).u64(1).u64(0).tensor("t", &[2, 3], 1, 0).bytes(&[0; 64]);
    let (header, recorder) = read(Format::Gguf, &raw.0, None, &[]).expect("it is valid");
    assert_eq!((header.tensors[0].shape.as_slice(), recorder.data[0].len()), (&[3, 2][..], 12));
}

#[test]
fn an_alignment_that_is_not_a_power_of_two_is_an_error() {
    let bad = |value: Value, found: &str| {
        let mut raw = Raw::new(0, 1).text("general.alignment");
        raw = match &value {
            Value::U32(number) => raw.u32(4).u32(*number),
            Value::I32(number) => raw.u32(5).bytes(&number.to_le_bytes()),
            Value::U64(number) => raw.u32(10).u64(*number),
            _ => raw.u32(8).text("32"),
        };
        assert_eq!(raw.error(), FormatError::BadAlignment { file: file(), found: found.into() });
        if let Value::U32(_) | Value::U64(_) = value {
            let metadata = Metadata::from_entries(FILE, [("general.alignment", value)]).expect("one key");
            let refused = FormatError::BadAlignment { file: file(), found: found.into() };
            assert_eq!(gguf::write(&metadata, &[]), Err(refused));
        }
    };
    bad(Value::U32(0), "0");
    bad(Value::U32(24), "24");
    bad(Value::I32(-32), "-32");
    bad(Value::U64(1 << 60), "1152921504606846976");
    bad(Value::String("32".into()), "string");
}

#[test]
fn a_value_of_an_unknown_type_is_an_error_that_names_the_key() {
    let unknown = FormatError::UnknownValueType { file: file(), key: "k".into(), value_type: 13 };
    assert_eq!(Raw::new(0, 1).text("k").u32(13).u64(0).error(), unknown);
    assert_eq!(Raw::new(0, 1).text("k").u32(9).u32(13).u64(0).error(), unknown);
}

#[test]
fn a_boolean_other_than_0_and_1_is_an_error_that_names_the_key() {
    let bad = FormatError::BadBool { file: file(), key: "k".into(), byte: 2 };
    assert_eq!(Raw::new(0, 1).text("k").u32(7).bytes(&[2]).error(), bad);
    assert_eq!(Raw::new(0, 1).text("k").u32(9).u32(7).u64(3).bytes(&[0, 1, 2]).error(), bad);
}

#[test]
fn a_header_that_ends_early_is_an_error_that_says_where() {
    let raw = Raw::new(1, 1).text("k").u32(8).text("value").tensor("t", &[4], 0, 0);
    for (end, place) in [
        (8, "the first 24 bytes of the header"),
        (30, "metadata key 1 of 1"),
        (35, "the value of key \"k\""),
        (50, "the description of tensor 1 of 1"),
        (60, "the description of tensor \"t\""),
        (raw.0.len(), "the data of tensor \"t\""),
    ] {
        let error = read(Format::Gguf, &raw.0[..end], None, &[]).expect_err("bytes are missing");
        assert_eq!(error, FormatError::Truncated { file: file(), place: place.into(), got: end as u64 });
    }
}

#[test]
fn gaps_between_tensors_are_skipped_and_order_is_that_of_the_data() {
    let mut raw = Raw::new(2, 0).tensor("late", &[4], 0, 96).tensor("early", &[2], 0, 32);
    raw.0.resize(raw.0.len().next_multiple_of(32), 0xee);
    let raw = raw.bytes(&[1; 32]).bytes(&[2; 8]).bytes(&[1; 56]).bytes(&[3; 16]).bytes(&[1; 5]);
    let (header, recorder) = read(Format::Gguf, &raw.0, Some(raw.0.len() as u64), &[170, 180]).expect("it is valid");
    assert_eq!(header.tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["early", "late"]);
    assert_eq!(recorder.data, [vec![2; 8], vec![3; 16]]);
}

#[test]
fn the_writer_refuses_data_of_another_size_than_the_shape() {
    let tensor = gguf::Tensor { name: "t", dtype: DType::F32, shape: &[2], data: &[0; 7] };
    let error = gguf::write(&Metadata::new(FILE), &[tensor]);
    assert_eq!(error, Err(FormatError::WrongTensorSize { file: file(), tensor: "t".into(), expected: 8, found: 7 }));
}
