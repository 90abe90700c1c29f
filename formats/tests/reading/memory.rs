//! What a reader allocates, counted by the allocator.

use crate::recorder::Format;
use allocation_counter::measure;
use tilewright_formats::gguf::{self, Metadata, Value};
use tilewright_formats::{DType, FileStream, FormatError, Header, TensorSink};

/// Counts bytes and keeps none.
#[derive(Default)]
pub(crate) struct Counter(pub(crate) u64);

impl TensorSink for Counter {
    type Error = FormatError;

    fn header(&mut self, _: &Header) -> Result<(), FormatError> {
        Ok(())
    }

    fn data(&mut self, _: usize, _: u64, bytes: &[u8]) -> Result<(), FormatError> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

/// Most bytes allocated at one time while `pieces` are pushed.
fn peak(mut stream: FileStream, pieces: &[&[u8]], repeat: usize) -> u64 {
    let info = measure(|| {
        let mut counter = Counter::default();
        for piece in pieces.iter().cycle().take(pieces.len() * repeat) {
            stream.push(piece, &mut counter).expect("so far it is valid");
        }
    });
    info.bytes_max
}

#[test]
fn a_gibibyte_of_tensor_data_takes_no_memory() {
    let shape = [1 << 18, 1 << 10];
    let json =
        format!(r#"{{"t":{{"dtype":"F32","shape":[{},{}],"data_offsets":[0,{}]}}}}"#, shape[0], shape[1], 4u64 << 28);
    let mut stream = Format::Safetensors.stream(None);
    let header = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    stream.push(&header, &mut Counter::default()).expect("it is valid");
    let piece = vec![0; 1 << 20];
    let taken = peak(stream, &[&piece], 1024);
    assert_eq!(taken, 0);
}

#[test]
fn a_lying_count_takes_no_memory() {
    // 100 MB of array are claimed, and 1 KB comes.
    let mut gguf = b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0k\x09\0\0\0\0\0\0\0".to_vec();
    gguf.extend(100_000_000u64.to_le_bytes());
    gguf.extend([7; 1024]);
    let taken = peak(Format::Gguf.stream(None), &[&gguf], 1);
    assert!(taken < 8192, "{taken} bytes");

    let mut safetensors = 99_000_000u64.to_le_bytes().to_vec();
    safetensors.extend(b"{\"");
    safetensors.extend([b'a'; 1024]);
    let taken = peak(Format::Safetensors.stream(None), &[&safetensors], 1);
    assert!(taken < 8192, "{taken} bytes");
}

#[test]
fn a_header_takes_a_small_multiple_of_its_bytes_at_worst() {
    let worst: [(&str, Value); 3] = [
        ("empty strings", vec![String::new(); 500_000].into()),
        ("empty arrays", Value::from(vec![gguf::Array::U8(Vec::new()); 300_000])),
        ("arrays of one", Value::from(vec![gguf::Array::U8(vec![1]); 300_000])),
    ];
    for (what, value) in worst {
        let metadata = Metadata::from_entries("model.gguf", [("k", value)]).expect("one key");
        let bytes = gguf::write(&metadata, &[]).expect("it is valid");
        let pieces: Vec<&[u8]> = bytes.chunks(16 << 10).collect();
        let taken = peak(Format::Gguf.stream(None), &pieces, 1);
        assert!(taken <= 8 * bytes.len() as u64, "{what}: {taken} bytes for {}", bytes.len());
    }
    let names: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
    let tensors: Vec<gguf::Tensor<'_>> =
        names.iter().map(|name| gguf::Tensor { name, dtype: DType::F32, shape: &[1], data: &[0; 4] }).collect();
    let bytes = gguf::write(&Metadata::new("model.gguf"), &tensors).expect("it is valid");
    let taken = peak(Format::Gguf.stream(None), &[&bytes], 1);
    assert!(taken <= 8 * bytes.len() as u64, "tensors: {taken} bytes for {}", bytes.len());
}
