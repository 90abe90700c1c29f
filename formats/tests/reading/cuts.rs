//! However a valid file is cut, the sink gets the same, and it is what was written.

use crate::recorder::{Format, Recorder, read};
use crate::valid_files::{self, Valid};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tilewright_formats::{FormatError, Header, TensorSink};

fn reads_the_same(format: Format, file: &Valid, cuts: &[Index], trailing: usize) -> Result<(), TestCaseError> {
    let bytes = [file.bytes.as_slice(), &vec![0xaa; trailing]].concat();
    let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    let (header, whole) = read(format, &bytes, None, &[])?;
    file.assert_read(&header.tensors, &whole.data);
    prop_assert_eq!(&header.gguf, &file.metadata);
    prop_assert_eq!(&whole.headers, std::slice::from_ref(&header));
    for file_len in [None, Some(bytes.len() as u64)] {
        let cut = read(format, &bytes, file_len, &cuts)?;
        prop_assert_eq!(&cut.0, &header);
        prop_assert_eq!(&cut.1, &whole);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_cut_of_a_gguf_gives_what_was_written(
        file in valid_files::gguf(), cuts in vec(any::<Index>(), 0..20), trailing in 0usize..40,
    ) {
        reads_the_same(Format::Gguf, &file, &cuts, trailing)?;
    }

    #[test]
    fn any_cut_of_a_safetensors_file_gives_what_was_written(
        file in valid_files::safetensors(), cuts in vec(any::<Index>(), 0..20), trailing in 0usize..40,
    ) {
        reads_the_same(Format::Safetensors, &file, &cuts, trailing)?;
    }

    #[test]
    fn a_gguf_in_single_bytes_reads_as_in_one_piece(file in valid_files::gguf()) {
        let cuts: Vec<usize> = (0..file.bytes.len()).collect();
        let (header, recorder) = read(Format::Gguf, &file.bytes, None, &cuts)?;
        file.assert_read(&header.tensors, &recorder.data);
        prop_assert_eq!(header.gguf, file.metadata);
    }

    #[test]
    fn a_file_that_ends_anywhere_too_early_is_truncated(
        gguf in valid_files::gguf(), safetensors in valid_files::safetensors(), end in any::<Index>(), known in any::<bool>(),
    ) {
        for (format, file) in [(Format::Gguf, gguf), (Format::Safetensors, safetensors)] {
            let (header, _) = read(format, &file.bytes, None, &[])?;
            // A GGUF's last padding may be missing when nobody knows the length; the end of a header without tensors may not.
            let needed = match header.tensors.last() {
                Some(tensor) => tensor.end() as usize,
                None if format == Format::Safetensors => file.bytes.len(),
                None => continue,
            };
            let end = end.index(needed);
            let file_len = known.then_some(file.bytes.len() as u64);
            let error = read(format, &file.bytes[..end], file_len, &[end / 2]).expect_err("bytes are missing");
            let is_truncated = matches!(&error, FormatError::Truncated { file, got, .. } if file == format.file() && *got == end as u64);
            prop_assert!(is_truncated, "{error:?}");
        }
    }
}

#[test]
fn after_an_error_of_the_sink_the_stream_says_that_it_stopped() {
    struct Full;
    impl TensorSink for Full {
        type Error = FormatError;
        fn header(&mut self, _: &Header) -> Result<(), FormatError> {
            Err(FormatError::NoShards { file: "the sink's own".into() })
        }
        fn data(&mut self, _: usize, _: u64, _: &[u8]) -> Result<(), FormatError> {
            unreachable!("the header was refused")
        }
    }
    let stopped = FormatError::Stopped { file: "model.safetensors".into() };
    let mut stream = Format::Safetensors.stream(None);
    let first = stream.push(b"\x02\0\0\0\0\0\0\0{}", &mut Full);
    assert_eq!(first, Err(FormatError::NoShards { file: "the sink's own".into() }));
    assert_eq!(stream.push(b"more", &mut Recorder::default()), Err(stopped.clone()));
    assert_eq!(stream.finish(), Err(stopped));
}

#[test]
fn more_bytes_than_were_announced_are_an_error() {
    let error = read(Format::Safetensors, b"\x02\0\0\0\0\0\0\0{}", Some(9), &[]).expect_err("there are 10");
    assert_eq!(error, FormatError::LongerThanAnnounced { file: "model.safetensors".into(), announced: 9 });
}

#[test]
fn an_empty_file_is_truncated() {
    for format in [Format::Gguf, Format::Safetensors] {
        for file_len in [None, Some(0), Some(100)] {
            let error = read(format, b"", file_len, &[]).expect_err("there is nothing");
            assert!(matches!(error, FormatError::Truncated { got: 0, .. }), "{error:?}");
        }
    }
}
