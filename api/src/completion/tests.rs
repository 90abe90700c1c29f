use super::*;
use crate::Limits;
use crate::model::tests::{EOS, HELLO, model, sentence_piece};
use proptest::prelude::*;
use tilewright_plan::SequenceId;

const CHAT: Endpoint = Endpoint::ChatCompletions;
const RAW: Endpoint = Endpoint::Completions;

fn prepared(model: &ChatModel, endpoint: Endpoint, fields: Value) -> Prepared {
    let mut body = json!({"messages": [{"role": "user", "content": "hi"}], "prompt": "hi"});
    let Value::Object(fields) = fields else { panic!() };
    body.as_object_mut().unwrap().extend(fields);
    model.prepare(endpoint, &body, Limits { max_context: 4096 }, 0).unwrap()
}

fn completion(endpoint: Endpoint, fields: Value) -> Completion {
    let model = model(&[]);
    let prepared = prepared(&model, endpoint, fields);
    Completion::new(model, &prepared, "id-1".to_owned(), 1_700_000_000)
}

fn sampled(token: TokenId) -> Sampled {
    Sampled {
        sequence: SequenceId(1),
        token,
        logprob: Some(-0.5),
        top_logprobs: vec![(token, -0.5), (TokenId(0xc3), f32::NEG_INFINITY)],
    }
}

fn tokens(text: &str) -> Vec<Sampled> {
    text.bytes().map(|byte| sampled(TokenId(byte.into()))).collect()
}

fn choice(chunk: &Value) -> &Value {
    &chunk["choices"][0]
}

#[test]
fn a_streamed_chat_is_role_then_texts_then_reason_and_usage() {
    let mut completion = completion(CHAT, json!({"stream": true}));
    let mut chunks = completion.push(&[sampled(HELLO)]).chunks;
    chunks.extend(completion.push(&tokens(" é")).chunks);
    chunks.extend(completion.push(&[sampled(EOS)]).chunks);
    chunks.extend(completion.finish(FinishReason::Stop, 3));
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "id-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "tiny",
            "choices": [{"delta": delta, "index": 0, "logprobs": null, "finish_reason": reason}]})
    };
    let mut last = chunk(json!({}), json!("stop"));
    let prompt = "<s>user:hi\n<s>".len() - 4;
    last["usage"] = json!({"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5, "prompt_tokens_details": {"cached_tokens": 3}});
    let expected = [
        chunk(json!({"role": "assistant", "content": ""}), Value::Null),
        chunk(json!({"content": "hello"}), Value::Null),
        chunk(json!({"content": " é"}), Value::Null),
        last,
    ];
    assert_eq!(chunks, expected);
}

#[test]
fn include_usage_gives_a_last_chunk_without_choices_and_null_before() {
    let mut completion = completion(CHAT, json!({"stream": true, "stream_options": {"include_usage": true}}));
    let mut chunks = completion.push(&[sampled(HELLO)]).chunks;
    chunks.extend(completion.finish(FinishReason::Length, 0));
    assert_eq!(chunks.len(), 4);
    assert!(chunks[..3].iter().all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some()));
    assert_eq!(choice(&chunks[2])["finish_reason"], "length");
    assert_eq!((&chunks[3]["choices"], &chunks[3]["usage"]["completion_tokens"]), (&json!([]), &json!(1)));
}

#[test]
fn without_a_stream_there_is_one_object_at_the_end() {
    let mut completion = completion(CHAT, json!({}));
    assert_eq!(completion.push(&[sampled(HELLO)]), Progress::default());
    assert_eq!(completion.push(&tokens("!")), Progress::default());
    let chunks = completion.finish(FinishReason::Length, 0);
    let prompt = chunks[0]["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(
        chunks,
        [json!({"id": "id-1", "object": "chat.completion", "created": 1_700_000_000, "model": "tiny",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello!", "refusal": null}, "logprobs": null, "finish_reason": "length"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 2, "total_tokens": prompt + 2, "prompt_tokens_details": {"cached_tokens": 0}}})]
    );
}

#[test]
fn completions_have_texts_in_place_of_deltas() {
    let mut streamed = completion(RAW, json!({"stream": true}));
    let chunks = streamed.push(&[sampled(HELLO)]).chunks;
    assert_eq!(
        chunks,
        [json!({"id": "id-1", "object": "text_completion", "created": 1_700_000_000, "model": "tiny",
        "choices": [{"text": "hello", "index": 0, "logprobs": null, "finish_reason": null}]})]
    );
    let end = streamed.finish(FinishReason::Cancelled, 0);
    assert_eq!((&choice(&end[0])["finish_reason"], &choice(&end[0])["text"]), (&json!("abort"), &json!("")));
    let mut whole = completion(RAW, json!({}));
    whole.push(&[sampled(HELLO)]);
    let whole = whole.finish(FinishReason::Stop, 0);
    assert_eq!((&whole[0]["object"], &choice(&whole[0])["text"]), (&json!("text_completion"), &json!("hello")));
}

#[test]
fn a_chat_loses_the_space_before_its_first_word_and_a_completion_keeps_it() {
    let template = ("tokenizer.chat_template", Some("{{ messages[0].content }}".into()));
    let model = Arc::new(sentence_piece(&[template]).unwrap());
    let the = TokenId(261);
    for (endpoint, path, expected) in
        [(CHAT, "/choices/0/message/content", "the the"), (RAW, "/choices/0/text", " the the")]
    {
        let prepared = prepared(&model, endpoint, json!({}));
        let mut completion = Completion::new(model.clone(), &prepared, String::new(), 0);
        completion.push(&[sampled(TokenId(1)), sampled(the), sampled(the)]);
        assert_eq!(completion.finish(FinishReason::Length, 0)[0].pointer(path).unwrap(), expected);
    }
    assert_eq!(model.decode(&[TokenId(1), the, the]), "the the");
}

#[test]
fn half_a_character_waits_for_the_rest() {
    let mut completion = completion(RAW, json!({"stream": true}));
    let bytes = tokens("🙂");
    assert_eq!(completion.push(&bytes[..3]).chunks, [] as [Value; 0]);
    assert_eq!(choice(&completion.push(&bytes[3..]).chunks[0])["text"], "🙂");
    assert_eq!(completion.push(&bytes[..2]).chunks, [] as [Value; 0]);
    assert_eq!(choice(&completion.finish(FinishReason::Length, 0)[0])["text"], "\u{fffd}");
}

#[test]
fn a_stop_text_ends_the_answer_before_it() {
    let mut completion = completion(RAW, json!({"stream": true, "stop": ["\n\n", "END"]}));
    assert_eq!(choice(&completion.push(&tokens("abE")).chunks[0])["text"], "ab");
    assert_eq!(completion.push(&tokens("N")), Progress::default());
    let progress = completion.push(&tokens("Dxyz"));
    assert_eq!(progress, Progress { chunks: vec![], stopped: true });
    assert_eq!(completion.push(&tokens("more")), Progress { chunks: vec![], stopped: true });
    // The host had to cancel the sequence, and the client is told why it ended.
    let end = completion.finish(FinishReason::Cancelled, 0);
    assert_eq!((end.len(), &choice(&end[0])["finish_reason"]), (1, &json!("stop")));
    assert_eq!(end[0]["usage"]["completion_tokens"], 5);
}

#[test]
fn what_a_stop_text_held_back_is_said_at_the_end() {
    let mut completion = completion(RAW, json!({"stop": "END"}));
    completion.push(&tokens("abEN"));
    assert_eq!(choice(&completion.finish(FinishReason::Length, 0)[0])["text"], "abEN");
}

#[test]
fn before_min_tokens_neither_stop_texts_nor_stop_ids_count() {
    let mut completion = completion(RAW, json!({"stop": "b", "min_tokens": 4, "stop_token_ids": [97]}));
    assert!(!completion.push(&tokens("aba")).stopped);
    assert!(completion.push(&tokens("cb")).stopped);
    assert_eq!(choice(&completion.finish(FinishReason::Stop, 0)[0])["text"], "abac");
}

#[test]
fn a_stop_id_with_a_text_is_no_part_of_the_answer() {
    let mut completion = completion(RAW, json!({"stop_token_ids": [98]}));
    completion.push(&tokens("ab"));
    assert_eq!(choice(&completion.finish(FinishReason::Stop, 0)[0])["text"], "a");
}

#[test]
fn a_chats_logprobs_have_tokens_with_their_bytes() {
    let mut completion = completion(CHAT, json!({"stream": true, "logprobs": true, "top_logprobs": 2}));
    let chunks = completion.push(&[sampled(HELLO), sampled(TokenId(0xc3))]).chunks;
    let bytes: Vec<u8> = b"hello".to_vec();
    let half = json!({"token": "\u{fffd}", "logprob": -9999.0, "bytes": [0xc3]});
    let hello = json!({"token": "hello", "logprob": -0.5, "bytes": bytes, "top_logprobs": [{"token": "hello", "logprob": -0.5, "bytes": bytes}, half]});
    assert_eq!(choice(&chunks[1])["logprobs"]["content"][0], hello);
    assert_eq!(choice(&chunks[1])["logprobs"]["refusal"], Value::Null);
    // The half character has no text yet: its entry comes with what it ends before, that is now.
    assert_eq!(choice(&chunks[1])["logprobs"]["content"].as_array().unwrap().len(), 2);
    assert_eq!(choice(&chunks[0])["logprobs"], Value::Null);
}

#[test]
fn a_completions_logprobs_are_four_lists() {
    let mut completion = completion(RAW, json!({"logprobs": 2}));
    completion.push(&[
        sampled(HELLO),
        sampled(TokenId(0xc3)),
        sampled(TokenId(0xa9)),
        sampled(TokenId(33)),
        sampled(EOS),
    ]);
    let whole = completion.finish(FinishReason::Stop, 0);
    let logprobs = &choice(&whole[0])["logprobs"];
    assert_eq!(logprobs["tokens"], json!(["hello", "bytes:\\xc3", "bytes:\\xa9", "!"]));
    assert_eq!(logprobs["token_logprobs"], json!([-0.5, -0.5, -0.5, -0.5]));
    assert_eq!(logprobs["text_offset"], json!([0, 5, 5, 6]));
    assert_eq!(logprobs["top_logprobs"][0], json!({"hello": -0.5, "bytes:\\xc3": -9999.0}));
}

#[test]
fn log_probabilities_wait_for_their_text_and_fall_with_it() {
    let mut completion = completion(RAW, json!({"stream": true, "logprobs": 0, "stop": "xyz"}));
    let chunks = completion.push(&tokens("ax")).chunks;
    assert_eq!(choice(&chunks[0])["logprobs"]["tokens"], json!(["a"]));
    let chunks = completion.push(&tokens("yb")).chunks;
    assert_eq!(choice(&chunks[0])["logprobs"]["tokens"], json!(["x", "y", "b"]));
    let progress = completion.push(&tokens("xyz"));
    assert_eq!(progress, Progress { chunks: vec![], stopped: true });
}

#[test]
fn tokens_that_no_vocabulary_has_are_no_danger() {
    let mut completion = completion(CHAT, json!({"logprobs": true}));
    completion.push(&[sampled(TokenId(u32::MAX)), sampled(HELLO)]);
    assert_eq!(choice(&completion.finish(FinishReason::Length, 0)[0])["message"]["content"], "hello");
}

#[test]
fn an_answer_without_tokens_still_has_its_chunks() {
    let chunks = completion(CHAT, json!({"stream": true})).finish(FinishReason::Cancelled, 0);
    assert_eq!(choice(&chunks[0])["delta"]["role"], "assistant");
    assert_eq!((chunks.len(), &choice(&chunks[1])["finish_reason"]), (2, &json!("abort")));
}

proptest! {
    #[test]
    fn however_tokens_come_the_text_is_that_of_decoding_them_all(
        ids in prop::collection::vec(0u32..265, 0..60),
        cuts in prop::collection::vec(0usize..60, 0..10),
        chat in any::<bool>(),
        stream in any::<bool>(),
        logprobs in any::<bool>(),
    ) {
        let model = model(&[]);
        let endpoint = if chat { CHAT } else { RAW };
        let fields = match (logprobs, chat) {
            (true, true) => json!({"stream": stream, "ignore_eos": true, "logprobs": true}),
            (true, false) => json!({"stream": stream, "ignore_eos": true, "logprobs": 1}),
            (false, _) => json!({"stream": stream, "ignore_eos": true}),
        };
        let mut completion = Completion::new(model.clone(), &prepared(&model, endpoint, fields), String::new(), 0);
        let ids: Vec<TokenId> = ids.into_iter().map(TokenId).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&cut| cut < ids.len()).chain([0, ids.len()]).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        for cut in cuts.windows(2) {
            let tokens: Vec<Sampled> = ids[cut[0]..cut[1]].iter().map(|&id| sampled(id)).collect();
            chunks.extend(completion.push(&tokens).chunks);
        }
        chunks.extend(completion.finish(FinishReason::Length, 0));
        let mut text = String::new();
        let mut entries = 0;
        for chunk in &chunks {
            let choice = choice(chunk);
            let part = [&choice["delta"]["content"], &choice["message"]["content"], &choice["text"]];
            text.extend(part.iter().filter_map(|part| part.as_str()));
            let lists = [&choice["logprobs"]["content"], &choice["logprobs"]["tokens"]];
            entries += lists.iter().filter_map(|list| list.as_array()).map(Vec::len).sum::<usize>();
        }
        prop_assert_eq!(text, model.decode(&ids));
        prop_assert_eq!(entries, if logprobs { ids.len() } else { 0 });
        prop_assert_eq!(&chunks.last().unwrap()["usage"]["completion_tokens"], &json!(ids.len()));
    }
}
