//! How fast the readers take what is pushed: `cargo run --release -p tilewright-formats --example throughput`.
//!
//! - header: a GGUF vocabulary of 256 000 tokens and 500 000 merges, in pieces of 64 KiB and of 1 KiB;
//!   a safetensors header of 100 000 tensors
//! - data: 1 GiB of tensor data in pieces of 64 KiB (a `fetch` body's) and 1 MiB, to a sink that copies it to a buffer
//!   as an upload would, beside the same copy without a reader

use std::hint::black_box;
use std::time::Instant;
use tilewright_formats::gguf::{self, Metadata, Value};
use tilewright_formats::{FileStream, FormatError, Header, TensorSink};

/// Copies what it gets over one staging buffer.
struct Staging(Vec<u8>);

impl TensorSink for Staging {
    type Error = FormatError;

    fn header(&mut self, _: &Header) -> Result<(), FormatError> {
        Ok(())
    }

    fn data(&mut self, _: usize, offset: u64, bytes: &[u8]) -> Result<(), FormatError> {
        let from = offset as usize % (self.0.len() - bytes.len() + 1);
        self.0[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

fn main() -> Result<(), FormatError> {
    let tokens: Vec<String> = (0..256_000).map(|id| format!("token{id}")).collect();
    let merges: Vec<String> = (0..500_000).map(|id| format!("left{id} right{id}")).collect();
    let entries: [(&str, Value); 3] = [
        ("tokenizer.ggml.tokens", tokens.into()),
        ("tokenizer.ggml.merges", merges.into()),
        ("tokenizer.ggml.scores", vec![0.5f32; 256_000].into()),
    ];
    let vocabulary = gguf::write(&Metadata::from_entries("vocabulary.gguf", entries)?, &[])?;
    for piece in [64 << 10, 1 << 10] {
        let what = format!("GGUF header, {piece} byte pieces");
        report(&what, &vocabulary, piece, || FileStream::gguf("vocabulary.gguf", None))?;
    }

    let entry = |id: u64| {
        format!(
            r#""model.layers.{id}.self_attn.q_proj.weight":{{"dtype":"BF16","shape":[1,4],"data_offsets":[{},{}]}}"#,
            id * 8,
            id * 8 + 8
        )
    };
    let json = format!("{{{}}}", (0..100_000).map(entry).collect::<Vec<_>>().join(","));
    let header = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    report("safetensors header", &header, 64 << 10, || FileStream::safetensors("many.safetensors", None))?;

    let json = r#"{"t":{"dtype":"F32","shape":[16384,16384],"data_offsets":[0,1073741824]}}"#;
    let header = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    for piece in [64 << 10, 1 << 20] {
        let mut stream = FileStream::safetensors("large.safetensors", None);
        stream.push(&header, &mut Staging(Vec::new()))?;
        let (data, mut staging) = (vec![7; piece], Staging(vec![0; 8 << 20]));
        let start = Instant::now();
        for _ in 0..(1 << 30) / piece {
            stream.push(&data, &mut staging)?;
        }
        line(&format!("data, {piece} byte pieces"), 1 << 30, start);
        stream.finish()?;
        let start = Instant::now();
        for at in 0..(1 << 30) / piece {
            staging.data(0, (at * piece) as u64, &data)?;
            black_box(&staging.0);
        }
        line(&format!("the copy alone, {piece} byte pieces"), 1 << 30, start);
    }
    Ok(())
}

fn report(what: &str, bytes: &[u8], piece: usize, stream: impl Fn() -> FileStream) -> Result<(), FormatError> {
    let start = Instant::now();
    let (mut stream, mut staging) = (stream(), Staging(vec![0; 64]));
    for piece in bytes.chunks(piece) {
        stream.push(piece, &mut staging)?;
    }
    assert!(stream.header().is_some());
    line(what, bytes.len(), start);
    Ok(())
}

fn line(what: &str, bytes: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what:<40} {:8.1} MB {:8.1} ms {:8.2} GB/s",
        bytes as f64 / 1e6,
        seconds * 1e3,
        bytes as f64 / 1e9 / seconds
    );
}
