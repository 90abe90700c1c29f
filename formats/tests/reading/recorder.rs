//! A sink that keeps what it gets, and fails the test when it gets it out of order.

use tilewright_formats::{FileStream, FormatError, Header, TensorSink};

/// Which reader.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Gguf,
    Safetensors,
}

impl Format {
    pub(crate) fn stream(self, file_len: Option<u64>) -> FileStream {
        match self {
            Self::Gguf => FileStream::gguf(self.file(), file_len),
            Self::Safetensors => FileStream::safetensors(self.file(), file_len),
        }
    }

    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Gguf => "model.gguf",
            Self::Safetensors => "model.safetensors",
        }
    }
}

/// Keeps all tensor data.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Recorder {
    pub(crate) headers: Vec<Header>,
    /// Per tensor of the header.
    pub(crate) data: Vec<Vec<u8>>,
    last: usize,
}

impl TensorSink for Recorder {
    type Error = FormatError;

    fn header(&mut self, header: &Header) -> Result<(), FormatError> {
        assert!(self.headers.is_empty(), "a second header");
        self.headers.push(header.clone());
        self.data = vec![Vec::new(); header.tensors.len()];
        Ok(())
    }

    fn data(&mut self, tensor: usize, offset: u64, bytes: &[u8]) -> Result<(), FormatError> {
        assert!(tensor >= self.last, "tensor {tensor} after {}", self.last);
        assert!(!bytes.is_empty(), "an empty piece of tensor {tensor}");
        self.last = tensor;
        let data = &mut self.data[tensor];
        assert_eq!(data.len() as u64, offset, "a gap in tensor {tensor}");
        data.extend_from_slice(bytes);
        assert!(data.len() as u64 <= self.headers[0].tensors[tensor].bytes, "too much of tensor {tensor}");
        Ok(())
    }
}

/// Reads a file in pieces that end at `cuts`, in any order and beyond the end too.
pub(crate) fn read(
    format: Format,
    bytes: &[u8],
    file_len: Option<u64>,
    cuts: &[usize],
) -> Result<(Header, Recorder), FormatError> {
    let mut cuts: Vec<usize> = cuts.iter().map(|&cut| cut.min(bytes.len())).chain([bytes.len()]).collect();
    cuts.sort_unstable();
    let (mut stream, mut recorder) = (format.stream(file_len), Recorder::default());
    let mut from = 0;
    for to in cuts {
        stream.push(&bytes[from..to], &mut recorder)?;
        assert!(stream.buffered() <= to, "more is buffered than was pushed");
        from = to;
    }
    Ok((stream.finish()?, recorder))
}

/// The error of a file, which has to be the same with and without known length and however it is cut.
pub(crate) fn error_of(format: Format, bytes: &[u8]) -> FormatError {
    let error = read(format, bytes, None, &[]).expect_err("the file is bad");
    let each: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(read(format, bytes, None, &each).expect_err("the file is bad"), error, "in single bytes");
    assert_eq!(error_of_known_length(format, bytes), error, "of known length");
    error
}

/// The error of a file whose length is known, which has to be the same however it is cut.
pub(crate) fn error_of_known_length(format: Format, bytes: &[u8]) -> FormatError {
    let len = Some(bytes.len() as u64);
    let error = read(format, bytes, len, &[]).expect_err("the file is bad");
    let each: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(read(format, bytes, len, &each).expect_err("the file is bad"), error, "in single bytes");
    error
}
