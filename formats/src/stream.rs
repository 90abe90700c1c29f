//! The push parser of one file.
//!
//! It is in one of two states. In the header it keeps what it can't parse yet (at most one item of a GGUF, the JSON of a
//! safetensors file). Then it walks the tensors in the order of their data and passes slices of the pushed bytes on,
//! without copying or holding any. Cuts are arbitrary: one push of the whole file and one push per byte give the sink
//! the same bytes.

use crate::header::File;
use crate::{FormatError, Header, gguf, safetensors};

/// Takes what a [`FileStream`] reads.
pub trait TensorSink {
    /// What can go wrong at the sink, and in the file.
    type Error: From<FormatError>;

    /// The header is whole and valid. Called once, before any data.
    fn header(&mut self, header: &Header) -> Result<(), Self::Error>;

    /// Bytes of `header.tensors[tensor]`, from byte `offset` of it on. They come in order and without gaps: all of
    /// tensor 0, then all of tensor 1; cut as they were pushed and never empty.
    fn data(&mut self, tensor: usize, offset: u64, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// Reads one file that arrives in pieces.
///
/// It takes memory for the header only: at most some 8 times the header bytes that really came (a list of empty strings
/// is the worst case), which are limited by [`gguf::MAX_HEADER_BYTES`] and [`safetensors::MAX_HEADER_BYTES`]; what a
/// header merely claims takes none.
#[derive(Debug)]
pub struct FileStream {
    file: File,
    /// Bytes pushed so far.
    position: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Gguf(gguf::Parser),
    Safetensors(safetensors::Parser),
    /// `tensor` is the first one with bytes still to come.
    Data {
        header: Header,
        tensor: usize,
    },
    /// After an error.
    Stopped,
}

impl FileStream {
    /// Begins a GGUF file. `name` is for errors. With `file_len` a header that points past the end is found at once;
    /// without it, when the stream is finished.
    pub fn gguf(name: &str, file_len: Option<u64>) -> Self {
        let file = File { name: name.to_owned(), len: file_len };
        Self { stage: Stage::Gguf(gguf::Parser::new(file.clone())), file, position: 0 }
    }

    /// Begins a safetensors file, or a shard of one; as [`gguf`](Self::gguf).
    pub fn safetensors(name: &str, file_len: Option<u64>) -> Self {
        let file = File { name: name.to_owned(), len: file_len };
        Self { stage: Stage::Safetensors(safetensors::Parser::new(file.clone())), file, position: 0 }
    }

    /// Reads the next bytes. After an error, whether the file's or the sink's, the stream is of no more use.
    pub fn push<S: TensorSink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<(), S::Error> {
        // Put back at the end: an early return leaves the stream stopped.
        let mut stage = std::mem::replace(&mut self.stage, Stage::Stopped);
        if let Some(announced) = self.file.len
            && bytes.len() as u64 > announced.saturating_sub(self.position)
            && !matches!(stage, Stage::Stopped)
        {
            return Err(FormatError::LongerThanAnnounced { file: self.file.name.clone(), announced }.into());
        }
        let mut rest = bytes;
        let parsed = match &mut stage {
            Stage::Gguf(parser) => parser.push(rest)?,
            Stage::Safetensors(parser) => parser.push(rest)?,
            Stage::Data { .. } => None,
            Stage::Stopped => return Err(self.stopped().into()),
        };
        if let Some((header, used)) = parsed {
            sink.header(&header)?;
            self.position += used as u64;
            rest = rest.get(used..).unwrap_or_default();
            stage = Stage::Data { header, tensor: 0 };
        }
        if let Stage::Data { header, tensor } = &mut stage {
            pass_on(header, tensor, self.position, rest, sink)?;
        }
        self.position += rest.len() as u64;
        self.stage = stage;
        Ok(())
    }

    /// Ends the file: everything has to be there.
    pub fn finish(self) -> Result<Header, FormatError> {
        let (header, place) = match self.stage {
            Stage::Gguf(parser) => (None, parser.place()),
            Stage::Safetensors(parser) => (None, parser.place()),
            Stage::Data { header, .. } => {
                let missing = header.tensors.iter().find(|tensor| tensor.end() > self.position);
                let short = self.file.len.is_some_and(|announced| announced > self.position);
                match missing {
                    Some(tensor) => {
                        let place = format!("the data of tensor {:?}", crate::error::quoted(&tensor.name));
                        (None, place)
                    }
                    None if short => (None, "the padding after the last tensor".to_owned()),
                    None => (Some(header), String::new()),
                }
            }
            Stage::Stopped => return Err(FormatError::Stopped { file: self.file.name }),
        };
        header.ok_or(FormatError::Truncated { file: self.file.name, place, got: self.position })
    }

    /// The header, once it is whole.
    pub fn header(&self) -> Option<&Header> {
        match &self.stage {
            Stage::Data { header, .. } => Some(header),
            _ => None,
        }
    }

    /// Bytes pushed so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes held because what they belong to is not whole yet; never tensor data, never more than were pushed.
    pub fn buffered(&self) -> usize {
        match &self.stage {
            Stage::Gguf(parser) => parser.buffered(),
            Stage::Safetensors(parser) => parser.buffered(),
            Stage::Data { .. } | Stage::Stopped => 0,
        }
    }

    fn stopped(&self) -> FormatError {
        FormatError::Stopped { file: self.file.name.clone() }
    }
}

/// Gives the sink what of `bytes`, which begin at `position` of the file, belongs to tensors.
fn pass_on<S: TensorSink>(
    header: &Header,
    next: &mut usize,
    mut position: u64,
    mut bytes: &[u8],
    sink: &mut S,
) -> Result<(), S::Error> {
    while let Some(tensor) = header.tensors.get(*next) {
        let gap = tensor.start.saturating_sub(position);
        let Some(data) = usize::try_from(gap).ok().and_then(|gap| bytes.get(gap..)) else { return Ok(()) };
        position += gap;
        let missing = tensor.end().saturating_sub(position);
        let (data, rest) = data.split_at(usize::try_from(missing).unwrap_or(usize::MAX).min(data.len()));
        if data.is_empty() {
            return Ok(());
        }
        sink.data(*next, position - tensor.start, data)?;
        position += data.len() as u64;
        bytes = rest;
        if position < tensor.end() {
            return Ok(());
        }
        *next += 1;
    }
    Ok(())
}
