use super::*;
use crate::model::tests::{BOS, EOS, HELLO, gguf, model};
use crate::{ApiError, ChatModel};
use serde_json::{Value, json};
use tilewright_formats::gguf::Value as Gguf;

const LIMITS: Limits = Limits { max_context: 64 };

fn chat(body: &Value) -> Result<Prepared, ApiError> {
    model(&[]).prepare(Endpoint::ChatCompletions, body, LIMITS, 7)
}

fn complete(body: &Value) -> Result<Prepared, ApiError> {
    model(&[]).prepare(Endpoint::Completions, body, LIMITS, 7)
}

/// A good chat with some fields changed.
fn chat_with(fields: Value) -> Result<Prepared, ApiError> {
    let mut body = json!({"messages": [{"role": "user", "content": "hello"}]});
    let Value::Object(fields) = fields else { panic!() };
    body.as_object_mut().unwrap().extend(fields);
    chat(&body)
}

fn text_of(prepared: &Prepared) -> String {
    let model = model(&[]);
    prepared.prompt.iter().map(|&id| String::from_utf8(model.tokenizer().literal(id).to_vec()).unwrap()).collect()
}

#[test]
fn a_chat_is_rendered_and_a_text_is_not() {
    let prepared = chat_with(json!({})).unwrap();
    assert_eq!(text_of(&prepared), "<s>user:hello\n<s>");
    assert_eq!((prepared.prompt.first(), prepared.prompt.contains(&HELLO)), (Some(&BOS), true));
    assert_eq!(complete(&json!({"prompt": "hello"})).unwrap().prompt, [HELLO]);
    assert_eq!(complete(&json!({"prompt": [1, 258]})).unwrap().prompt, [TokenId(1), HELLO]);
    assert_eq!(complete(&json!({"prompt": ["hello"]})).unwrap().prompt, [HELLO]);
    assert_eq!(complete(&json!({"prompt": [[258, 2]]})).unwrap().prompt, [HELLO, TokenId(2)]);
}

#[test]
fn what_a_request_leaves_out_is_openais_default() {
    let prepared =
        chat_with(json!({"temperature": null, "stop": null, "n": null, "tools": null, "whatever": {"a": 1}})).unwrap();
    let expected = SamplingParams { temperature: 1.0, seed: 7, ..SamplingParams::default() };
    assert_eq!(prepared.sampling, expected);
    assert_eq!(prepared.max_tokens as usize, 64 - prepared.prompt.len());
    assert_eq!(
        (prepared.min_tokens, &prepared.stop_ids[..], prepared.stream, prepared.include_usage),
        (0, &[EOS][..], false, false)
    );
    assert_eq!(complete(&json!({"prompt": "a"})).unwrap().max_tokens, 16);
}

#[test]
fn the_models_own_defaults_win_over_openais_and_the_request_over_both() {
    let model =
        model(&[("general.sampling.temp", Some(Gguf::from(0.25f32))), ("general.sampling.top_k", Some(40i32.into()))]);
    let body = json!({"prompt": "a"});
    let prepared = model.prepare(Endpoint::Completions, &body, LIMITS, 0).unwrap();
    assert_eq!((prepared.sampling.temperature, prepared.sampling.top_k, prepared.sampling.top_p), (0.25, 40, 1.0));
    let body = json!({"prompt": "a", "temperature": 0, "top_k": -1});
    let prepared = model.prepare(Endpoint::Completions, &body, LIMITS, 0).unwrap();
    assert_eq!((prepared.sampling.temperature, prepared.sampling.top_k), (0.0, 0));
}

#[test]
fn every_field_arrives() {
    let prepared = chat_with(json!({
        "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 9.0, "max_tokens": 30, "min_tokens": 2,
        "temperature": 0.5, "top_k": 5, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.1, "frequency_penalty": -0.5,
        "presence_penalty": 2, "logit_bias": {"97": 100, "5": -1.5}, "seed": -1, "stop": ["a", "b", "c", "d", "e"],
        "stop_token_ids": [97, 257], "logprobs": true, "top_logprobs": 3, "n": 1, "priority": "batch", "cache_salt": "s",
        "response_format": {"type": "text"}, "tools": [], "tool_choice": "none", "model": "another", "user": "u",
    }))
    .unwrap();
    let expected = SamplingParams {
        temperature: 0.5,
        top_k: 5,
        top_p: 0.9,
        min_p: 0.05,
        repetition_penalty: 1.1,
        frequency_penalty: -0.5,
        presence_penalty: 2.0,
        logit_bias: vec![(TokenId(5), -1.5), (TokenId(97), 100.0)],
        seed: u64::MAX,
        top_logprobs: Some(3),
    };
    assert_eq!(prepared.sampling, expected);
    assert_eq!((prepared.max_tokens, prepared.min_tokens), (9, 2));
    assert_eq!((prepared.stop_ids, prepared.stop_strings.len()), (vec![EOS, TokenId(97)], 5));
    assert!(prepared.stream && prepared.include_usage);
    assert_eq!((prepared.priority, prepared.cache_salt.as_deref()), (Priority::Batch, Some("s")));
}

#[test]
fn ignore_eos_leaves_only_the_requests_own_stop_ids() {
    let prepared = chat_with(json!({"ignore_eos": true, "stop_token_ids": [97]})).unwrap();
    assert_eq!((prepared.stop_ids, prepared.ignore_eos), (vec![TokenId(97)], true));
}

#[test]
fn every_wrong_field_is_an_error_that_names_its_path() {
    for (fields, param) in [
        (json!({"temperature": -0.1}), "temperature"),
        (json!({"temperature": 2.5}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": 0}), "top_p"),
        (json!({"top_p": 1.01}), "top_p"),
        (json!({"top_k": -2}), "top_k"),
        (json!({"top_k": 1.5}), "top_k"),
        (json!({"min_p": 2}), "min_p"),
        (json!({"repetition_penalty": 0}), "repetition_penalty"),
        (json!({"repetition_penalty": 1e-60}), "repetition_penalty"),
        (json!({"frequency_penalty": 2.1}), "frequency_penalty"),
        (json!({"presence_penalty": -3}), "presence_penalty"),
        (json!({"logit_bias": {"263": 1}}), "logit_bias.263"),
        (json!({"logit_bias": {"a": 1}}), "logit_bias.a"),
        (json!({"logit_bias": {"1": 101}}), "logit_bias.1"),
        (json!({"logit_bias": {"1": "x"}}), "logit_bias.1"),
        (json!({"logit_bias": [1]}), "logit_bias"),
        (json!({"seed": 1.5}), "seed"),
        (json!({"seed": 1e25}), "seed"),
        (json!({"stop": ["a", ""]}), "stop[1]"),
        (json!({"stop": ["a", 3]}), "stop[1]"),
        (json!({"stop": 3}), "stop"),
        (json!({"stop_token_ids": [1, 263]}), "stop_token_ids[1]"),
        (json!({"stop_token_ids": [1, "a"]}), "stop_token_ids[1]"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -5}), "max_tokens"),
        (json!({"max_completion_tokens": 5_000_000_000u64}), "max_completion_tokens"),
        (json!({"min_tokens": -1}), "min_tokens"),
        (json!({"n": 2}), "n"),
        (json!({"n": "1"}), "n"),
        (json!({"top_logprobs": 21, "logprobs": true}), "top_logprobs"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"logprobs": 2}), "logprobs"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
        (json!({"priority": "urgent"}), "priority"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": null}), "messages"),
        (
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "owner", "content": "a"}]}),
            "messages[1].role",
        ),
        (json!({"messages": [{"content": "a"}]}), "messages[0].role"),
        (json!({"messages": [{"role": "user", "content": 3}]}), "messages[0].content"),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
        (json!({"messages": [3]}), "messages[0]"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text"}]}]}), "messages[0].content[0].text"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": 4}]}]}),
            "messages[0].content[0].text",
        ),
        (json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}), "messages[0].content[0].type"),
        (json!({"chat_template_kwargs": []}), "chat_template_kwargs"),
    ] {
        let error = chat_with(fields.clone()).expect_err(&fields.to_string());
        assert_eq!(error.param.as_deref(), Some(param), "{fields}: {error:?}");
        assert_eq!(error.r#type, "invalid_request_error");
        let name = param.split(['[', '.']).next().unwrap();
        assert!(error.message.contains(name), "{fields}: {}", error.message);
    }
    for body in [json!({}), json!({"prompt": {}}), json!({"prompt": ["a", "b"]}), json!({"prompt": [[1], [2]]})] {
        assert_eq!(complete(&body).unwrap_err().param.as_deref(), Some("prompt"), "{body}");
    }
    assert_eq!(complete(&json!({"prompt": [1, -1]})).unwrap_err().param.as_deref(), Some("prompt[1]"));
    assert_eq!(complete(&json!({"prompt": [263]})).unwrap_err().param.as_deref(), Some("prompt[0]"));
    assert_eq!(complete(&json!({"prompt": [1.5]})).unwrap_err().param.as_deref(), Some("prompt[0]"));
    assert_eq!(complete(&json!({"prompt": "a", "logprobs": true})).unwrap_err().param.as_deref(), Some("logprobs"));
    for body in [json!(null), json!([]), json!("hi"), json!(3)] {
        assert!(chat(&body).unwrap_err().message.contains("JSON object"));
    }
}

#[test]
fn ranges_are_in_the_message() {
    assert_eq!(
        chat_with(json!({"temperature": 3})).unwrap_err().message,
        "temperature has to be at least 0 and at most 2; it is 3"
    );
    assert_eq!(
        chat_with(json!({"top_p": 0})).unwrap_err().message,
        "top_p has to be greater than 0 and at most 1; it is 0"
    );
    assert_eq!(
        chat_with(json!({"max_tokens": -5})).unwrap_err().message,
        "max_tokens has to be at least 1 and at most 4294967295; it is -5"
    );
}

#[test]
fn fields_that_would_change_the_answer_in_silence_are_refused() {
    for (fields, param) in [
        (json!({"tools": [{"type": "function"}]}), "tools"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"functions": [{}]}), "functions"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"response_format": "json"}), "response_format"),
        (json!({"guided_regex": "a"}), "guided_regex"),
        (json!({"modalities": ["audio"]}), "modalities"),
        (json!({"echo": true}), "echo"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"best_of": 3}), "best_of"),
    ] {
        let error = chat_with(fields).unwrap_err();
        assert_eq!((error.param.as_deref(), error.code.as_deref()), (Some(param), Some("unsupported_value")));
    }
}

#[test]
fn a_prompt_longer_than_the_context_is_an_error_with_both_numbers() {
    let long = "a".repeat(100);
    let error = complete(&json!({"prompt": vec![97; 64]})).unwrap_err();
    assert_eq!((error.code.as_deref(), error.param.as_deref()), (Some("context_length_exceeded"), Some("prompt")));
    assert!(
        error.message.contains("has 64 tokens") && error.message.contains("context of 64 tokens"),
        "{}",
        error.message
    );
    assert_eq!(complete(&json!({"prompt": vec![97; 63], "max_tokens": 9})).unwrap().max_tokens, 1);
    let error = chat(&json!({"messages": [{"role": "user", "content": long}]})).unwrap_err();
    assert_eq!((error.code.as_deref(), error.param.as_deref()), (Some("context_length_exceeded"), Some("messages")));
    assert!(error.message.contains("has 108 tokens"), "{}", error.message);
}

#[test]
fn a_prompt_of_megabytes_is_refused_before_it_is_tokenized() {
    let error = complete(&json!({"prompt": "a".repeat(8 << 20)})).unwrap_err();
    assert_eq!(error.code.as_deref(), Some("context_length_exceeded"));
    assert!(error.message.contains("has at least"), "{}", error.message);
}

#[test]
fn an_empty_prompt_is_an_error() {
    assert_eq!(complete(&json!({"prompt": ""})).unwrap_err().code.as_deref(), Some("empty_prompt"));
    assert_eq!(complete(&json!({"prompt": []})).unwrap_err().code.as_deref(), Some("empty_prompt"));
}

#[test]
fn roles_and_contents_are_given_to_the_template_as_it_knows_them() {
    let body = json!({"messages": [
        {"role": "developer", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}]},
        {"role": "assistant", "content": null},
        {"role": "tool", "content": "t", "tool_call_id": "1"},
    ]});
    assert_eq!(text_of(&chat(&body).unwrap()), "<s>system:be\nbrief\n<s>assistant:\n<s>tool:t\n<s>");
    let template = "{% for m in messages %}{{ m.role }}{% if m.tool_calls %}{{ m.tool_calls[0].function.arguments.city }}{{ m.content }}{% endif %}{% endfor %}{% if x == 'developer' %}{% endif %}";
    let model = model(&[("tokenizer.chat_template", Some(template.into()))]);
    let calls =
        json!([{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"city\": \"Rome\"}"}}]);
    let messages = json!([{"role": "developer", "content": "a"}, {"role": "assistant", "tool_calls": calls}]);
    assert_eq!(model.render(&messages, None).unwrap(), "developerassistantRomeNone");
}

#[test]
fn a_model_without_a_template_refuses_chats_and_says_what_to_do() {
    let model = ChatModel::from_gguf("base", &gguf(&[("tokenizer.chat_template", None)])).unwrap();
    let body = json!({"messages": [{"role": "user", "content": "hi"}], "prompt": "hi"});
    let error = model.prepare(Endpoint::ChatCompletions, &body, LIMITS, 0).unwrap_err();
    assert_eq!(error.code.as_deref(), Some("no_chat_template"));
    assert!(error.message.contains("base") && error.message.contains("completions"), "{}", error.message);
    assert!(model.prepare(Endpoint::Completions, &body, LIMITS, 0).is_ok());
}

#[test]
fn a_broken_template_refuses_chats_with_its_line_and_the_next_request_is_served() {
    let model = model(&[("tokenizer.chat_template", Some("a\n{{ messages[0].content | nothing }".into()))]);
    let body = json!({"messages": [{"role": "user", "content": "hi"}], "prompt": "hi"});
    let error = model.prepare(Endpoint::ChatCompletions, &body, LIMITS, 0).unwrap_err();
    assert_eq!((error.r#type.as_str(), error.code.as_deref()), ("server_error", Some("chat_template_error")));
    assert!(error.message.contains("line 2"), "{}", error.message);
    assert!(model.prepare(Endpoint::Completions, &body, LIMITS, 0).is_ok());
}

#[test]
fn a_templates_refusal_is_the_requests_fault() {
    let model = model(&[("tokenizer.chat_template", Some("{{ raise_exception('only one message') }}".into()))]);
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    let error = model.prepare(Endpoint::ChatCompletions, &body, LIMITS, 0).unwrap_err();
    assert_eq!((error.r#type.as_str(), error.code.as_deref()), ("invalid_request_error", Some("messages_refused")));
    assert!(error.message.contains("only one message"));
}

#[test]
fn templates_see_the_time_only_if_it_is_given() {
    let template = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}old{% endif %}";
    let model = model(&[("tokenizer.chat_template", Some(template.into()))]);
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    let at = model.prepare_at(Endpoint::ChatCompletions, &body, LIMITS, 0, 1_795_359_909).unwrap();
    assert_eq!(model.decode(&at.prompt), "2026");
    assert_eq!(model.decode(&model.prepare(Endpoint::ChatCompletions, &body, LIMITS, 0).unwrap().prompt), "old");
}

#[test]
fn an_error_serializes_as_openais() {
    let error = chat_with(json!({"n": 2})).unwrap_err();
    let expected =
        json!({"type": "invalid_request_error", "code": "unsupported_value", "param": "n", "message": error.message});
    assert_eq!(serde_json::to_value(&error).unwrap(), expected);
    assert_eq!(serde_json::from_value::<ApiError>(expected).unwrap(), error);
}
