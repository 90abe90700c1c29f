//! Arbitrary requests, vocabularies and templates: an error or a good result, never a panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};
use tilewright_api::{ChatModel, Completion, Endpoint, FinishReason, GgufVocabulary, Limits};
use tilewright_formats::gguf::Metadata;
use tilewright_plan::{Sampled, SequenceId, TokenId};

/// GPT-2's alphabet for ASCII, in no particular order, and two special tokens.
fn model(template: &str) -> Result<ChatModel, tilewright_api::ModelError> {
    let mut tokens: Vec<String> = ('!'..='~').map(String::from).collect();
    tokens.extend(["Ġ", "Ċ", "<s>", "</s>"].map(str::to_owned));
    let mut types = vec![1i32; tokens.len()];
    let specials = types.len() - 2;
    types[specials..].fill(3);
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let metadata = Metadata::from_entries(
        "hostile.gguf",
        [
            ("tokenizer.ggml.model", "gpt2".into()),
            ("tokenizer.ggml.pre", "llama-bpe".into()),
            ("tokenizer.ggml.tokens", tokens.as_slice().into()),
            ("tokenizer.ggml.token_type", types.into()),
            ("tokenizer.ggml.eos_token_id", (specials as u32 + 1).into()),
            ("tokenizer.chat_template", template.into()),
        ],
    );
    ChatModel::from_gguf("hostile", &metadata.expect("keys differ"))
}

static MODEL: LazyLock<Arc<ChatModel>> = LazyLock::new(|| {
    let template = "{% for m in messages %}<s>{{ m.role }} {{ m.content }}{% endfor %}";
    Arc::new(model(template).expect("a good model"))
});

const FIELDS: [&str; 32] = [
    "messages",
    "prompt",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "min_tokens",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "logprobs",
    "top_logprobs",
    "n",
    "priority",
    "cache_salt",
    "tools",
    "response_format",
    "chat_template_kwargs",
    "add_generation_prompt",
    "role",
    "content",
    "type",
    "text",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0i64..40).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0..1.0).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["user", "assistant", "text", "batch", "5"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(FIELDS.to_vec()), inner), 0..5).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_request_is_prepared_or_refused(
        fields in prop::collection::vec((prop::sample::select(FIELDS.to_vec()), any_json()), 0..5),
        good in any::<bool>(),
        chat in any::<bool>(),
        max_context in 0u32..40,
    ) {
        let mut body: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if good {
            body.insert("messages".to_owned(), json!([{"role": "user", "content": "hi there"}]));
            body.insert("prompt".to_owned(), json!("hi there"));
        }
        let endpoint = if chat { Endpoint::ChatCompletions } else { Endpoint::Completions };
        match MODEL.prepare(endpoint, &Value::Object(body), Limits { max_context }, 1) {
            Err(error) => prop_assert!(!error.message.is_empty()),
            Ok(prepared) => {
                prop_assert!(!prepared.prompt.is_empty());
                prop_assert!(prepared.max_tokens >= 1);
                prop_assert!(prepared.prompt.len() + prepared.max_tokens as usize <= max_context as usize);
                prop_assert!(prepared.sampling.temperature >= 0.0 && prepared.sampling.top_p > 0.0);
                let mut completion = Completion::new(MODEL.clone(), &prepared, String::new(), 0);
                for token in [0, 70, 95, 97, 1000].map(TokenId) {
                    completion.push(&[Sampled { sequence: SequenceId(0), token, logprob: None, top_logprobs: vec![] }]);
                }
                prop_assert!(!completion.finish(FinishReason::Stop, 0).is_empty());
            }
        }
    }

    #[test]
    fn any_vocabulary_is_built_or_refused(
        model in prop::sample::select(vec!["gpt2", "llama"]),
        pre in prop::option::of(prop::sample::select(vec!["gpt-2", "llama-bpe", "deepseek-coder", "x"])),
        tokens in prop::collection::vec("[a-cĠ▁é <>0x]{0,4}", 0..24),
        types in prop::collection::vec(-1i64..8, 0..24),
        scores in prop::collection::vec(any::<f32>(), 0..24),
        merges in prop::collection::vec("[a-cĠ]{0,2} ?[a-cĠ]{0,2}", 0..4),
        same_lengths in any::<bool>(),
        special in prop::option::of(0u64..30),
        flags in any::<[Option<bool>; 3]>(),
        text in "\\PC{0,20}",
    ) {
        let len = tokens.len();
        let cut = |types: Vec<i64>| if same_lengths { types.into_iter().cycle().take(len).collect() } else { types };
        let scores = if same_lengths { scores.into_iter().cycle().take(len).collect() } else { scores };
        let [add_bos, add_eos, add_space_prefix] = flags;
        let vocabulary = GgufVocabulary {
            model, pre, tokens: &tokens, token_types: cut(types), scores, merges: &merges,
            bos: special, eos: special, unknown: special, add_bos, add_eos, add_space_prefix,
        };
        match vocabulary.build() {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok(tokenizer) => {
                let ids = tokenizer.encode(&text).expect("every text has ids");
                prop_assert!(ids.iter().all(|id| id.0 < tokenizer.vocabulary()));
                tokenizer.decode(&ids);
            }
        }
    }

    #[test]
    fn any_template_renders_or_is_an_error(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "{{ messages", "}}", "{%", "%}", "{#", "#}", " for m in messages ", " endfor ", " if m.role ", " endif ", "[0]",
                "[::-1]", ".content", " | tojson", " | length", " ~ 'x' * 9999", "'", "\"", "\n", "text", "(", ")", " set x = ",
                "{%- generation -%}", "{% endgeneration %}", "raise_exception(", "é", " macro f(x) ", " endmacro ", "f(f)", ".items()",
            ]),
            0..16,
        ),
    ) {
        let model = model(&parts.concat()).expect("a template is no reason not to load");
        if let Err(error) = model.render(&json!([{"role": "user", "content": "hi"}]), Some(0)) {
            prop_assert!(error.message.contains("template"), "{}", error.message);
        }
    }

    #[test]
    fn any_tokenizer_file_is_read_or_refused(cut in 0usize..2000, put in "\\PC{0,12}") {
        let whole = json!({
            "version": "1.0", "added_tokens": [], "normalizer": {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"}, "post_processor": null,
            "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "b|a+"}, "behavior": "Isolated", "invert": false},
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "##b": 3, "a##": 4}, "merges": ["a b"]},
        })
        .to_string();
        let mut broken = whole.clone();
        let at = (0..=cut.min(whole.len())).rev().find(|&at| whole.is_char_boundary(at)).unwrap_or(0);
        broken.insert_str(at, &put);
        let files = tilewright_api::HuggingFaceFiles { config_json: "{}".to_owned(), tokenizer_json: broken, ..Default::default() };
        match ChatModel::from_hugging_face("m", files) {
            Err(error) => prop_assert!(error.to_string().contains("tokenizer"), "{error}"),
            Ok(model) => prop_assert!(model.encode("aab ba").is_ok()),
        }
    }
}
