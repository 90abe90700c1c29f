//! Models that can't be loaded: each is a typed error that names the thing, and nothing panics.

use tilewright_engine::{ConfigError, Device, LoadError, LoadOptions, Loaded, Loader, WeightFiles};
use tilewright_formats::gguf::{self, Metadata, Value};
use tilewright_formats::{DType, FormatError};

/// A one-layer model of 32 hidden elements, as a list that a test can spoil.
#[derive(Clone)]
struct TinyGguf {
    metadata: Vec<(&'static str, Value)>,
    tensors: Vec<(&'static str, DType, Vec<u64>)>,
}

impl TinyGguf {
    fn new() -> Self {
        let metadata: Vec<(&str, Value)> = vec![
            ("general.architecture", "llama".into()),
            ("llama.block_count", 1_u32.into()),
            ("llama.context_length", 64_u32.into()),
            ("llama.embedding_length", 32_u32.into()),
            ("llama.feed_forward_length", 64_u32.into()),
            ("llama.attention.head_count", 4_u32.into()),
            ("llama.attention.head_count_kv", 2_u32.into()),
            ("llama.attention.layer_norm_rms_epsilon", 1e-5_f32.into()),
        ];
        let tensors = vec![
            ("token_embd.weight", DType::Q8_0, vec![50, 32]),
            ("output_norm.weight", DType::F32, vec![32]),
            ("blk.0.attn_norm.weight", DType::F32, vec![32]),
            ("blk.0.attn_q.weight", DType::Q4_0, vec![32, 32]),
            ("blk.0.attn_k.weight", DType::Q4_1, vec![16, 32]),
            ("blk.0.attn_v.weight", DType::F16, vec![16, 32]),
            ("blk.0.attn_output.weight", DType::Bf16, vec![32, 32]),
            ("blk.0.ffn_norm.weight", DType::F32, vec![32]),
            ("blk.0.ffn_gate.weight", DType::Q5_0, vec![64, 32]),
            ("blk.0.ffn_up.weight", DType::Q5_1, vec![64, 32]),
            ("blk.0.ffn_down.weight", DType::F32, vec![32, 64]),
        ];
        Self { metadata, tensors }
    }

    fn set(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.metadata.retain(|(name, _)| *name != key);
        self.metadata.push((key, value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.metadata.retain(|(key, _)| *key != name);
        self.tensors.retain(|(tensor, ..)| *tensor != name);
        self
    }

    fn tensor(mut self, name: &'static str, dtype: DType, shape: &[u64]) -> Self {
        self.tensors.retain(|(tensor, ..)| *tensor != name);
        self.tensors.push((name, dtype, shape.to_vec()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let metadata = Metadata::from_entries("tiny.gguf", self.metadata.clone()).unwrap();
        let data: Vec<Vec<u8>> = self
            .tensors
            .iter()
            .map(|(_, dtype, shape)| {
                let bytes = shape.iter().product::<u64>() / dtype.block_len() * dtype.block_bytes();
                vec![0; bytes as usize]
            })
            .collect();
        let tensors: Vec<_> = self
            .tensors
            .iter()
            .zip(&data)
            .map(|((name, dtype, shape), data)| gguf::Tensor { name, dtype: *dtype, shape, data })
            .collect();
        gguf::write(&metadata, &tensors).unwrap()
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        load(&self.bytes(), LoadOptions::default())
    }

    fn error(&self) -> LoadError {
        self.load().err().expect("it can't be loaded")
    }
}

fn load(bytes: &[u8], options: LoadOptions) -> Result<Loaded, LoadError> {
    let mut loader = Loader::new(Device::Cpu, WeightFiles::Gguf, options)?;
    loader.begin_file("tiny.gguf", Some(bytes.len() as u64))?;
    for cut in bytes.chunks(97) {
        loader.push(cut)?;
    }
    loader.end_file()?;
    pollster::block_on(loader.finish())
}

#[test]
fn a_model_of_mixed_formats_loads_and_says_what_it_takes() {
    let loaded = TinyGguf::new().load().unwrap();
    assert_eq!((loaded.config.layers, loaded.config.vocabulary, loaded.config.head_dim), (1, 50, 8));
    assert!(loaded.config.tied_head && loaded.config.rope.interleaved);
    assert!(loaded.memory.weights_bytes > 50 * 32);
    assert_eq!(loaded.executor.capacity().max_context, 64);
}

#[test]
fn an_unknown_architecture_is_named_with_those_that_are_known() {
    let error = TinyGguf::new().set("general.architecture", "mamba").error();
    assert!(matches!(&error, LoadError::Config(ConfigError::UnknownArchitecture { name, .. }) if name == "mamba"));
    assert!(error.to_string().contains("llama"), "{error}");
}

#[test]
fn a_missing_key_is_named() {
    let error = TinyGguf::new().without("llama.block_count").error();
    assert!(error.to_string().contains("llama.block_count"), "{error}");
}

#[test]
fn a_missing_tensor_is_named() {
    let error = TinyGguf::new().without("blk.0.ffn_up.weight").error();
    assert!(matches!(&error, LoadError::MissingTensor { tensor } if tensor == "blk.0.ffn_up.weight"), "{error}");
    let error = TinyGguf::new().set("llama.block_count", 2_u32).error();
    assert!(matches!(&error, LoadError::MissingTensor { tensor } if tensor.starts_with("blk.1.")), "{error}");
}

#[test]
fn a_tensor_that_the_family_does_not_know_is_refused() {
    for name in ["blk.0.attn_q_norm.weight", "blk.7.attn_q.weight", "mystery"] {
        let error = TinyGguf::new().tensor(name, DType::F32, &[32]).error();
        assert!(matches!(&error, LoadError::UnexpectedTensor { tensor, .. } if tensor == name), "{error}");
    }
    TinyGguf::new().tensor("blk.0.attn_rot_embd", DType::F32, &[4]).load().expect("some are known to be needless");
}

#[test]
fn a_tensor_of_another_shape_is_refused_with_both_shapes() {
    let error = TinyGguf::new().tensor("blk.0.attn_k.weight", DType::F32, &[32, 32]).error();
    let LoadError::Shape { tensor, found, expected, .. } = error else { panic!("{error}") };
    assert_eq!((tensor.as_str(), found, expected), ("blk.0.attn_k.weight", vec![32, 32], vec![16, 32]));
}

#[test]
fn a_quantized_vector_is_refused() {
    let error = TinyGguf::new().tensor("output_norm.weight", DType::Q8_0, &[32]).error();
    assert!(matches!(error, LoadError::VectorFormat { .. }), "{error}");
}

#[test]
fn sizes_that_no_model_has_are_refused_before_anything_is_reserved() {
    let sizes = [
        ("llama.block_count", 0_u64),
        ("llama.block_count", 1 << 40),
        ("llama.embedding_length", 1 << 60),
        ("llama.attention.head_count", 0),
        ("llama.attention.head_count_kv", 0),
        ("llama.attention.head_count_kv", 3),
        ("llama.attention.key_length", 6),
        ("llama.rope.dimension_count", 7),
        ("llama.rope.dimension_count", 1000),
        ("llama.context_length", 0),
        ("llama.expert_count", 8),
        ("llama.attention.sliding_window", 8),
    ];
    for (key, value) in sizes {
        let error = TinyGguf::new().set(key, value).error();
        assert!(matches!(error, LoadError::Config(_)), "{key} = {value}: {error}");
    }
    for (key, value) in [("llama.rope.freq_base", f32::NAN), ("llama.attention.layer_norm_rms_epsilon", -1.0)] {
        let error = TinyGguf::new().set(key, value).error();
        assert!(matches!(error, LoadError::Config(ConfigError::Inconsistent(_))), "{key} = {value}: {error}");
    }
}

#[test]
fn a_file_that_ends_early_is_an_error_wherever_it_ends() {
    let whole = TinyGguf::new().bytes();
    for length in (0..whole.len()).step_by(61) {
        let error = load(&whole[..length], LoadOptions::default()).err().expect("a part is no model");
        assert!(matches!(error, LoadError::Format(_)), "{length} bytes: {error}");
    }
}

#[test]
fn random_changes_to_a_file_never_panic() {
    let whole = TinyGguf::new().bytes();
    let mut state = 1_u64;
    for _ in 0..3000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = whole.clone();
        let at = (state >> 33) as usize % bytes.len().min(1400);
        bytes[at] = (state >> 20) as u8;
        let _ = load(&bytes, LoadOptions { kv_bytes: Some(1 << 20), ..LoadOptions::default() });
    }
}

#[test]
fn too_little_memory_for_one_block_of_keys_is_an_error_with_the_numbers() {
    let options = LoadOptions { kv_bytes: Some(100), ..LoadOptions::default() };
    let error = load(&TinyGguf::new().bytes(), options).err().unwrap();
    assert!(matches!(error, LoadError::NoRoomForKv { budget_bytes: 100, block_bytes: 2048 }), "{error}");
}

#[test]
fn calls_out_of_order_are_errors() {
    let loader = || Loader::new(Device::Cpu, WeightFiles::Gguf, LoadOptions::default()).unwrap();
    assert!(matches!(loader().push(b"GGUF"), Err(LoadError::Order(_))));
    assert!(matches!(loader().end_file(), Err(LoadError::Order(_))));
    assert!(matches!(pollster::block_on(loader().finish()), Err(LoadError::Order(_))));
    let mut open = loader();
    open.begin_file("a", None).unwrap();
    assert!(matches!(open.begin_file("b", None), Err(LoadError::Order(_))));
    assert!(matches!(open.end_file(), Err(LoadError::Format(FormatError::Truncated { .. }))));
}

fn config_error(change: impl Fn(&mut serde_json::Value)) -> ConfigError {
    let text = include_str!("../../tests/fixtures/llama/config.json");
    let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
    change(&mut config);
    let files = WeightFiles::HuggingFace { config_json: config.to_string() };
    match Loader::new(Device::Cpu, files, LoadOptions::default()) {
        Err(LoadError::Config(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it loads"),
    }
}

#[test]
fn a_config_that_asks_for_what_is_not_built_is_refused_with_its_name() {
    let unsupported = |change: &dyn Fn(&mut serde_json::Value), name: &str| {
        let error = config_error(change);
        assert!(error.to_string().contains(name), "{error}");
    };
    unsupported(&|config| config["hidden_act"] = "gelu".into(), "gelu");
    unsupported(&|config| config["rope_parameters"]["rope_type"] = "yarn".into(), "yarn");
    unsupported(&|config| config["quantization_config"] = serde_json::json!({"bits": 4}), "quantized");
    unsupported(&|config| config["architectures"][0] = "BertModel".into(), "BertModel");
    unsupported(&|config| config["rope_parameters"] = serde_json::json!({"rope_type": "llama3"}), "factor");
}

#[test]
fn a_config_that_is_no_config_is_an_error() {
    for text in ["", "[]", "{", "{\"architectures\": [\"LlamaForCausalLM\"]}", "null"] {
        let files = WeightFiles::HuggingFace { config_json: text.into() };
        let error = Loader::new(Device::Cpu, files, LoadOptions::default()).err().expect("it is no config");
        assert!(matches!(error, LoadError::Config(_)), "{text}: {error}");
    }
}

#[test]
fn rope_is_read_from_the_older_form_of_config_too() {
    use tilewright_engine::model::{RopeScaling, hugging_face};
    let text = include_str!("../../tests/fixtures/llama3-rope/config.json");
    let newer = hugging_face::config(text).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut scaling = config["rope_parameters"].take();
    config["rope_theta"] = scaling["rope_theta"].take();
    config.as_object_mut().unwrap().remove("rope_parameters");
    scaling.as_object_mut().unwrap().remove("rope_theta");
    // Some carry the type under both of its names.
    scaling["type"] = scaling["rope_type"].clone();
    config["rope_scaling"] = scaling;
    let older = hugging_face::config(&config.to_string()).unwrap();
    assert_eq!(older.rope, newer.rope);
    assert!(matches!(older.rope.scaling, RopeScaling::Llama3 { .. }));
}
