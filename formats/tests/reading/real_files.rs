//! Files that others wrote: SmolLM2-135M-Instruct, the embedded default, and the fixture of the parity tests.

use crate::recorder::{Format, read};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use tilewright_formats::{DType, FormatError, Header, TensorSink};

/// `models/` of the cache folder, which set-up fills.
fn model() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = folder("TILEWRIGHT_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("tilewright")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/tilewright")))?;
    Some(cache.join("models/SmolLM2-135M-Instruct.Q4_1.gguf"))
}

/// Sums the bytes of each tensor.
#[derive(Default)]
struct Sums(Vec<u64>);

impl TensorSink for Sums {
    type Error = FormatError;

    fn header(&mut self, header: &Header) -> Result<(), FormatError> {
        self.0 = vec![0; header.tensors.len()];
        Ok(())
    }

    fn data(&mut self, tensor: usize, _: u64, bytes: &[u8]) -> Result<(), FormatError> {
        self.0[tensor] += bytes.len() as u64;
        Ok(())
    }
}

#[test]
fn smollm2_has_272_tensors_and_33_keys() {
    let Some((mut file, path)) = model().and_then(|path| Some((File::open(&path).ok()?, path))) else {
        println!("skipped: SmolLM2-135M-Instruct.Q4_1.gguf is not in the cache folder; `cargo xtask setup` fetches it");
        return;
    };
    let length = file.metadata().expect("the file is open").len();
    assert_eq!(length, 98_362_432, "{} is another file", path.display());
    let (mut stream, mut sums) = (Format::Gguf.stream(Some(length)), Sums::default());
    let mut piece = vec![0; 100_003];
    loop {
        let read = file.read(&mut piece).expect("the file can be read");
        if read == 0 {
            break;
        }
        stream.push(&piece[..read], &mut sums).expect("the file is valid");
    }
    let header = stream.finish().expect("the file is whole");
    assert_eq!(header.tensors.len(), 272);
    assert_eq!(header.tensors.iter().map(|tensor| tensor.bytes).collect::<Vec<_>>(), sums.0);

    let metadata = header.gguf.expect("it is a GGUF");
    assert_eq!(metadata.len(), 33);
    assert_eq!(metadata.iter().next(), Some(("general.architecture", &"llama".into())));
    assert_eq!(metadata.u64("llama.block_count"), Ok(30));
    assert_eq!(metadata.u64("llama.embedding_length"), Ok(576));
    assert_eq!(metadata.u64("llama.attention.head_count_kv"), Ok(3));
    assert_eq!(metadata.string("tokenizer.ggml.model"), Ok("gpt2"));
    assert_eq!(metadata.string("tokenizer.ggml.pre"), Ok("smollm"));
    assert_eq!(metadata.strings("tokenizer.ggml.tokens").map(<[_]>::len), Ok(49152));
    assert_eq!(metadata.integers("tokenizer.ggml.token_type").map(|types| types.len()), Ok(49152));
    assert_eq!(metadata.bool("tokenizer.ggml.add_bos_token"), Ok(false));
    assert_eq!(metadata.u64("tokenizer.ggml.eos_token_id"), Ok(2));

    let find = |name: &str| header.tensors.iter().find(|tensor| tensor.name == name).expect("the tensor is there");
    assert_eq!(find("blk.0.attn_k.weight").shape, [192, 576]);
    assert_eq!(find("blk.0.attn_k.weight").dtype, DType::Q4_1);
    assert_eq!(find("token_embd.weight").shape, [49152, 576]);
    assert_eq!((find("output_norm.weight").dtype, find("output_norm.weight").bytes), (DType::F32, 576 * 4));
}

#[test]
fn the_fixture_reads_as_the_safetensors_crate_reads_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/llama/model.safetensors");
    let bytes = std::fs::read(path).expect("the fixture is in the repository");
    let expected = safetensors::SafeTensors::deserialize(&bytes).expect("it is valid");
    let (header, recorder) =
        read(Format::Safetensors, &bytes, Some(bytes.len() as u64), &[9, 1000, 100_000]).expect("it is valid");
    assert_eq!(header.tensors.len(), expected.len());
    for (tensor, data) in header.tensors.iter().zip(&recorder.data) {
        let view = expected.tensor(&tensor.name).expect("the tensor is there");
        let shape: Vec<u64> = view.shape().iter().map(|&length| length as u64).collect();
        assert_eq!(
            (&tensor.shape, tensor.dtype.name(), data.as_slice()),
            (&shape, view.dtype().to_string().as_str(), view.data())
        );
    }
}
