use super::*;
use serde_json::json;
use std::sync::Arc;
use tilewright_formats::gguf::Value as Gguf;

/// GPT-2's character for a byte.
fn char_of(byte: u8) -> char {
    let shifted = match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => u32::from(byte),
        0..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte) - 0x7f,
        0xad => 0x143,
    };
    char::from_u32(shifted).unwrap()
}

pub(crate) const BOS: TokenId = TokenId(256);
pub(crate) const EOS: TokenId = TokenId(257);
/// "hello"
pub(crate) const HELLO: TokenId = TokenId(258);

const TEMPLATE: &str =
    "{% for m in messages %}<s>{{ m.role }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<s>{% endif %}";

/// 256 bytes, `<s>`, `</s>`, "hello" and what it merges from: id = byte for single bytes.
pub(crate) fn gguf(changes: &[(&str, Option<Gguf>)]) -> Metadata {
    let mut tokens: Vec<String> = (0..=255).map(|byte| char_of(byte).to_string()).collect();
    tokens.extend(["<s>", "</s>", "hello", "he", "ll", "hell", "<tool>"].map(str::to_owned));
    let mut types = vec![1i32; tokens.len()];
    (types[256], types[257], types[262]) = (3, 3, 4);
    let mut entries: Vec<(String, Gguf)> = [
        ("tokenizer.ggml.model", Gguf::from("gpt2")),
        ("tokenizer.ggml.pre", "gpt-2".into()),
        ("tokenizer.ggml.tokens", tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice().into()),
        ("tokenizer.ggml.token_type", types.into()),
        ("tokenizer.ggml.merges", ["h e", "l l", "he ll", "hell o"].as_slice().into()),
        ("tokenizer.ggml.bos_token_id", 256u32.into()),
        ("tokenizer.ggml.eos_token_id", 257u32.into()),
        ("tokenizer.chat_template", TEMPLATE.into()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec();
    for (key, value) in changes {
        entries.retain(|(name, _)| name != key);
        entries.extend(value.clone().map(|value| ((*key).to_owned(), value)));
    }
    Metadata::from_entries("tiny.gguf", entries).unwrap()
}

pub(crate) fn model(changes: &[(&str, Option<Gguf>)]) -> Arc<ChatModel> {
    Arc::new(ChatModel::from_gguf("tiny", &gguf(changes)).unwrap())
}

fn ids(model: &ChatModel, text: &str) -> Vec<u32> {
    model.encode(text).unwrap().into_iter().map(|id| id.0).collect()
}

fn tokenizer_error(changes: &[(&str, Option<Gguf>)]) -> TokenizerError {
    match ChatModel::from_gguf("tiny", &gguf(changes)) {
        Err(ModelError::Tokenizer { error, .. }) => error,
        other => panic!("no tokenizer error but {:?}", other.map(|_| "a model")),
    }
}

#[test]
fn a_byte_level_vocabulary_merges_and_falls_back_to_bytes() {
    let model = model(&[]);
    assert_eq!(ids(&model, "hello hé"), [258, 32, 104, 0xc3, 0xa9]);
    assert_eq!(model.decode(&model.encode("hello hé 🙂\n").unwrap()), "hello hé 🙂\n");
}

#[test]
fn special_and_user_defined_tokens_are_matched_as_a_whole() {
    let model = model(&[]);
    assert_eq!(ids(&model, "a<s>b</s><tool>"), [97, 256, 98, 257, 262]);
    assert_eq!(model.decode(&[BOS, HELLO, EOS, TokenId(262)]), "hello<tool>");
}

#[test]
fn raw_prompts_get_bos_and_eos_where_the_vocabulary_says_so_and_rendered_ones_never() {
    let model = model(&[
        ("tokenizer.ggml.add_bos_token", Some(true.into())),
        ("tokenizer.ggml.add_eos_token", Some(true.into())),
    ]);
    assert_eq!(ids(&model, "a"), [256, 97, 257]);
    assert_eq!(model.tokenizer().encode_rendered("<s>a").unwrap(), [BOS, TokenId(97)]);
}

#[test]
fn llama3s_pre_tokenizer_brings_bos_and_takes_whole_words_before_merges() {
    let pre = ("tokenizer.ggml.pre", Some("llama-bpe".into()));
    assert_eq!(
        ids(&model(&[pre.clone(), ("tokenizer.ggml.merges", Some(["h e"].as_slice().into()))]), "hello"),
        [256, 258]
    );
    assert_eq!(ids(&model(&[pre, ("tokenizer.ggml.add_bos_token", Some(false.into()))]), "a"), [97]);
}

#[test]
fn end_tokens_come_from_ids_and_from_names_of_control_tokens() {
    assert_eq!(model(&[]).stop_ids(), [EOS]);
    let model = model(&[
        ("tokenizer.ggml.eos_token_id", Some(256u32.into())),
        ("tokenizer.ggml.eot_token_id", Some(262u32.into())),
    ]);
    assert_eq!(model.stop_ids(), [BOS, TokenId(262), EOS]);
}

#[test]
fn a_vocabulary_of_an_unknown_kind_or_pre_tokenizer_is_an_error_that_names_it() {
    assert_eq!(tokenizer_error(&[("tokenizer.ggml.model", Some("t5".into()))]), TokenizerError::Model("t5".into()));
    assert_eq!(
        tokenizer_error(&[("tokenizer.ggml.pre", Some("kimi-k2".into()))]),
        TokenizerError::PreTokenizer("kimi-k2".into())
    );
}

#[test]
fn a_gguf_without_a_vocabulary_is_an_error_that_names_the_key() {
    let missing = ChatModel::from_gguf("tiny", &gguf(&[("tokenizer.ggml.tokens", None)])).unwrap_err();
    assert!(missing.to_string().contains("tokenizer.ggml.tokens"), "{missing}");
    let missing = ChatModel::from_gguf("tiny", &gguf(&[("tokenizer.ggml.model", None)])).unwrap_err();
    assert!(missing.to_string().contains("tokenizer.ggml.model"), "{missing}");
    let none: [&str; 0] = [];
    let empty = [("tokenizer.ggml.tokens", Some(none.as_slice().into())), ("tokenizer.ggml.token_type", None)];
    assert_eq!(tokenizer_error(&empty), TokenizerError::NoVocabulary);
}

#[test]
fn vocabularies_that_contradict_themselves_are_errors() {
    let lengths = TokenizerError::Lengths { key: "tokenizer.ggml.token_type", len: 2, tokens: 263 };
    assert_eq!(tokenizer_error(&[("tokenizer.ggml.token_type", Some(vec![1i32, 3].into()))]), lengths);
    for merge in ["hello", "h z\u{4e00}", "", " ", "x y", "é", "h  e"] {
        let error = TokenizerError::Merge { index: 1, merge: merge.to_owned() };
        assert_eq!(tokenizer_error(&[("tokenizer.ggml.merges", Some(["h e", merge].as_slice().into()))]), error);
    }
    let special = TokenizerError::SpecialToken { key: "tokenizer.ggml.bos_token_id", id: 263, tokens: 263 };
    assert_eq!(tokenizer_error(&[("tokenizer.ggml.bos_token_id", Some(263u32.into()))]), special);
    let none = [("tokenizer.ggml.bos_token_id", None), ("tokenizer.ggml.add_bos_token", Some(true.into()))];
    assert_eq!(tokenizer_error(&none), TokenizerError::NoSpecialToken("BOS"));
    let long = "a".repeat(5000);
    let tokens =
        [("tokenizer.ggml.tokens", Some(["a", long.as_str()].as_slice().into())), ("tokenizer.ggml.token_type", None)];
    assert_eq!(tokenizer_error(&tokens), TokenizerError::LongToken { id: 1, bytes: 5000, limit: 1024 });
}

#[test]
fn two_tokens_with_one_text_are_no_danger() {
    let tokens = ["a", "b", "a", ""];
    let model = model(&[
        ("tokenizer.ggml.tokens", Some(tokens.as_slice().into())),
        ("tokenizer.ggml.token_type", Some(vec![1i32, 1, 4, 3].into())),
        ("tokenizer.ggml.merges", None),
        ("tokenizer.ggml.bos_token_id", None),
        ("tokenizer.ggml.eos_token_id", None),
    ]);
    assert_eq!(ids(&model, "ab"), [0, 1]);
    assert_eq!(model.decode(&[TokenId(2), TokenId(1), TokenId(3), TokenId(9)]), "ab");
}

/// Pieces with scores as `SentencePiece` gives them: the later, the worse.
pub(crate) fn sentence_piece(changes: &[(&str, Option<Gguf>)]) -> Result<ChatModel, ModelError> {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    tokens.extend((0..=255).map(|byte: u8| format!("<0x{byte:02X}>")));
    let pieces = ["▁t", "he", "▁the", "in", "▁a", "▁", "t", "h", "e", "i", "n", "a", "the"];
    tokens.extend(pieces.map(str::to_owned));
    let mut types = vec![6i32; tokens.len()];
    (types[0], types[1], types[2]) = (2, 3, 3);
    types[259..].fill(1);
    let mut scores = vec![0f32; 259];
    scores.extend((0..pieces.len()).map(|rank| -(rank as f32)));
    let mut all = vec![
        ("tokenizer.ggml.model", Some("llama".into())),
        ("tokenizer.ggml.tokens", Some(tokens.iter().map(String::as_str).collect::<Vec<_>>().as_slice().into())),
        ("tokenizer.ggml.token_type", Some(types.into())),
        ("tokenizer.ggml.scores", Some(scores.into())),
        ("tokenizer.ggml.merges", None),
        ("tokenizer.ggml.bos_token_id", Some(1u32.into())),
        ("tokenizer.ggml.eos_token_id", Some(2u32.into())),
        ("tokenizer.ggml.unknown_token_id", Some(0u32.into())),
    ];
    all.extend_from_slice(changes);
    ChatModel::from_gguf("tiny", &gguf(&all))
}

#[test]
fn a_sentencepiece_vocabulary_merges_by_score_and_falls_back_to_bytes() {
    let model = sentence_piece(&[]).unwrap();
    // ▁the (261) from ▁t + he, then ▁a (263), then n (269), then é as two bytes.
    assert_eq!(ids(&model, "the ané"), [1, 261, 263, 269, 3 + 0xc3, 3 + 0xa9]);
    assert_eq!(model.decode(&model.encode("the ané  in").unwrap()), "the ané  in");
    // Every part after a special token gets its space, as in llama.cpp.
    assert_eq!(ids(&model, "the</s>the"), [1, 261, 2, 261]);
}

#[test]
fn add_space_prefix_and_add_bos_can_be_turned_off() {
    let changes =
        [("tokenizer.ggml.add_space_prefix", Some(false.into())), ("tokenizer.ggml.add_bos_token", Some(false.into()))];
    let model = sentence_piece(&changes).unwrap();
    // t + he, since "he" has a better score than "the", then the whole.
    assert_eq!(ids(&model, "the"), [271]);
    assert_eq!(model.decode(&[TokenId(261)]), " the");
}

#[test]
fn sentencepiece_without_scores_or_fallback_is_an_error() {
    let Err(ModelError::Tokenizer { error, .. }) = sentence_piece(&[("tokenizer.ggml.scores", None)]) else { panic!() };
    assert_eq!(error, TokenizerError::Lengths { key: "tokenizer.ggml.scores", len: 0, tokens: 272 });
    let changes = [
        ("tokenizer.ggml.tokens", Some(["a", "b"].as_slice().into())),
        ("tokenizer.ggml.token_type", None),
        ("tokenizer.ggml.scores", Some(vec![f32::NAN, f32::INFINITY].into())),
        ("tokenizer.ggml.unknown_token_id", None),
    ];
    let Err(ModelError::Tokenizer { error, .. }) = sentence_piece(&changes) else { panic!() };
    assert_eq!(error, TokenizerError::NoFallback);
}

#[test]
fn a_broken_chat_template_fails_chats_and_not_the_model() {
    let model = model(&[("tokenizer.chat_template", Some("a\n{% for %}".into()))]);
    let Err(TemplateError::Syntax { line: 2, .. }) = model.chat_template() else { panic!() };
    assert_eq!(ids(&model, "a"), [97]);
}

fn folder() -> HuggingFaceFiles {
    let mut vocab = serde_json::Map::new();
    for byte in 0..=255u8 {
        vocab.insert(char_of(byte).to_string(), byte.into());
    }
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let added = |id: u32, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let tokenizer = json!({
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"},
        "added_tokens": [added(256, "<s>"), added(257, "</s>")],
        "normalizer": null, "pre_tokenizer": byte_level, "decoder": byte_level,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}}},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []},
    });
    HuggingFaceFiles {
        config_json: json!({"vocab_size": 300, "eos_token_id": 257}).to_string(),
        tokenizer_json: tokenizer.to_string(),
        tokenizer_config_json: Some(json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "chat_template": "{{ bos_token }}{{ messages[0].content }}"}).to_string()),
        generation_config_json: Some(json!({"eos_token_id": [257, 256], "temperature": 0.6, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.1}).to_string()),
        chat_template_jinja: None,
    }
}

#[test]
fn a_folders_tokenizer_neither_truncates_nor_pads() {
    let model = ChatModel::from_hugging_face("f", folder()).unwrap();
    assert_eq!(ids(&model, "abcdef"), [256, 97, 98, 99, 100, 101, 102]);
    assert_eq!(model.decode(&model.encode("né<s>").unwrap()), "né");
    assert_eq!((model.vocabulary(), model.stop_ids()), (300, &[EOS, BOS][..]));
    assert_eq!(
        model.defaults(),
        &Defaults {
            temperature: Some(0.6),
            top_k: Some(20),
            top_p: Some(0.9),
            min_p: None,
            repetition_penalty: Some(1.1)
        }
    );
}

#[test]
fn the_tokenizer_config_decides_on_bos_where_it_says_so() {
    let mut files = folder();
    files.tokenizer_config_json = Some(json!({"bos_token": "<s>", "add_bos_token": false}).to_string());
    assert_eq!(ids(&ChatModel::from_hugging_face("f", files.clone()).unwrap(), "a"), [97]);
    files.tokenizer_config_json = Some(
        json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "add_eos_token": true}).to_string(),
    );
    assert_eq!(ids(&ChatModel::from_hugging_face("f", files.clone()).unwrap(), "a"), [256, 97, 257]);
    files.tokenizer_config_json = Some(json!({"add_bos_token": true}).to_string());
    assert!(matches!(
        ChatModel::from_hugging_face("f", files),
        Err(ModelError::Tokenizer { error: TokenizerError::NoSpecialToken("BOS"), .. })
    ));
}

#[test]
fn a_chat_template_file_wins_over_the_config() {
    let mut files = folder();
    let messages = json!([{"role": "user", "content": "hi"}]);
    assert_eq!(ChatModel::from_hugging_face("f", files.clone()).unwrap().render(&messages, None).unwrap(), "<s>hi");
    files.chat_template_jinja = Some("[{{ messages[0].content }}]".to_owned());
    assert_eq!(ChatModel::from_hugging_face("f", files).unwrap().render(&messages, None).unwrap(), "[hi]");
}

#[test]
fn files_that_are_not_json_are_errors_that_name_them() {
    type Change = fn(&mut HuggingFaceFiles);
    let changes: [(&str, Change); 4] = [
        ("config.json", |files| files.config_json = "<!DOCTYPE html>".to_owned()),
        ("tokenizer_config.json", |files| files.tokenizer_config_json = Some("{".to_owned())),
        ("generation_config.json", |files| files.generation_config_json = Some(String::new())),
        ("tokenizer.json", |files| files.tokenizer_json.truncate(1000)),
    ];
    for (file, change) in changes {
        let mut files = folder();
        change(&mut files);
        let error = ChatModel::from_hugging_face("my-model", files).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("my-model"), "{error}");
    }
}

#[test]
fn hostile_tokenizer_files_are_errors() {
    let with = |pointer: &str, value: Value| {
        let mut files = folder();
        let mut json: Value = serde_json::from_str(&files.tokenizer_json).unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        files.tokenizer_json = json.to_string();
        match ChatModel::from_hugging_face("f", files) {
            Err(ModelError::Tokenizer { error, .. }) => error,
            other => panic!("{pointer}: {:?}", other.map(|_| "a model")),
        }
    };
    assert!(matches!(
        with("/decoder", json!({"type": "WordPiece", "prefix": "##", "cleanup": true})),
        TokenizerError::Decoder(_)
    ));
    assert!(matches!(with("/decoder", Value::Null), TokenizerError::Decoder(_)));
    assert_eq!(with("/model/vocab/a", json!(u32::MAX)), TokenizerError::LargeId(u32::MAX));
    assert!(matches!(with("/model/vocab/a", json!(-1)), TokenizerError::Json(_)));
    assert!(matches!(with("/model/merges", json!(["a nothing"])), TokenizerError::Json(_)));
    assert!(matches!(with("/model/dropout", json!(0.5)), TokenizerError::Json(_)));
    assert!(matches!(
        with(
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": false})
        ),
        TokenizerError::Json(_)
    ));
    assert!(matches!(with("/model", json!({"type": "Cipher"})), TokenizerError::Json(_)));
    let precompiled =
        json!({"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "/////w=="}]});
    assert_eq!(with("/normalizer", precompiled), TokenizerError::Part("a precompiled normalizer"));
    let prefix = TokenizerError::Part("a prefix for continued words");
    assert_eq!(with("/model/continuing_subword_prefix", json!("##")), prefix);
}

#[test]
fn a_sampling_default_out_of_range_is_an_error_that_names_the_file() {
    let mut files = folder();
    files.generation_config_json = Some(json!({"top_p": 7}).to_string());
    let error = ChatModel::from_hugging_face("f", files).unwrap_err().to_string();
    assert!(error.contains("generation_config.json") && error.contains("top_p") && error.contains('7'), "{error}");
    let error =
        ChatModel::from_gguf("f", &gguf(&[("general.sampling.temp", Some((-1f32).into()))])).unwrap_err().to_string();
    assert!(error.contains("general.sampling") && error.contains("temperature"), "{error}");
}
