use super::*;
use serde_json::{Value as Json, json};

fn render_with(template: &str, messages: &Json, variables: &Json) -> Result<String, TemplateError> {
    let variables = variables.as_object().cloned().unwrap_or_default();
    ChatTemplate::new(template).render(&Inputs {
        messages: messages.as_array().map_or(&[], Vec::as_slice),
        add_generation_prompt: true,
        bos_token: "<s>",
        eos_token: "</s>",
        variables: &variables,
        local_time_s: Some(1_795_359_909),
    })
}

fn render(template: &str) -> Result<String, TemplateError> {
    render_with(
        template,
        &json!([{"role": "user", "content": "Hi <&> \"there\""}, {"role": "assistant", "content": " yes "}]),
        &json!({"x": {"b": [1, 2.5, null, true], "a": "é\n"}}),
    )
}

#[test]
fn blocks_are_trimmed_as_transformers_trims_them() {
    let template = "{% for m in messages %}\n    {% if true %}\n[{{ m.role }}]\n    {% endif %}\n{% endfor %}\nend\n";
    assert_eq!(render(template).unwrap(), "[user]\n[assistant]\nend");
}

#[test]
fn nothing_is_escaped_for_html() {
    assert_eq!(render("{{ messages[0].content }}").unwrap(), "Hi <&> \"there\"");
}

#[test]
fn tojson_is_pythons() {
    assert_eq!(render("{{ x | tojson }}").unwrap(), r#"{"b": [1, 2.5, null, true], "a": "é\n"}"#);
    assert_eq!(render("{{ messages[0] | tojson }}").unwrap(), r#"{"role": "user", "content": "Hi <&> \"there\""}"#);
    assert_eq!(
        render("{{ x | tojson(indent=2) }}").unwrap(),
        "{\n  \"b\": [\n    1,\n    2.5,\n    null,\n    true\n  ],\n  \"a\": \"é\\n\"\n}"
    );
    assert_eq!(
        render("{{ x | tojson(separators=(',', ':'), sort_keys=true, ensure_ascii=true) }}").unwrap(),
        r#"{"a":"\u00e9\n","b":[1,2.5,null,true]}"#
    );
    assert_eq!(render("{{ {} | tojson }}{{ [] | tojson(indent=1) }}").unwrap(), "{}[]");
}

#[test]
fn true_and_none_are_printed_with_capitals() {
    assert_eq!(render("{{ true }} {{ false }} {{ none }} {{ nothing }}|").unwrap(), "True False None |");
}

#[test]
fn methods_of_pythons_types_are_there() {
    assert_eq!(render("{{ messages[1].content.strip().upper() }}{{ x.get('c', 'd') }}{% for k, v in x.items() %}{{ k }}{% endfor %}{{ messages[::-1][0]['role'].split('s')[0] }}").unwrap(), "YESdbaa");
}

#[test]
fn loops_can_be_left_and_namespaces_written() {
    let template = "{% set n = namespace(i=0) %}{% for m in messages %}{% if loop.index0 == 0 %}{% continue %}{% endif %}{% set n.i = n.i + loop.index %}{% break %}{% endfor %}{{ n.i }}";
    assert_eq!(render(template).unwrap(), "2");
}

#[test]
fn tools_and_documents_are_none_as_in_transformers() {
    assert_eq!(
        render(
            "{% if tools is not none %}tools{% endif %}{% if documents %}docs{% endif %}{{ bos_token }}{{ eos_token }}"
        )
        .unwrap(),
        "<s></s>"
    );
}

#[test]
fn generation_tags_do_nothing() {
    assert_eq!(
        render("{% for m in messages %}{% generation %}{{ m.role[0] }}{% endgeneration %}{% endfor %}").unwrap(),
        "ua"
    );
}

#[test]
fn the_date_is_the_callers() {
    assert_eq!(render("{{ strftime_now('%Y-%m-%d') }}").unwrap(), "2026-11-22");
    let inputs = Inputs {
        messages: &[],
        add_generation_prompt: true,
        bos_token: "",
        eos_token: "",
        variables: &serde_json::Map::new(),
        local_time_s: None,
    };
    let template = ChatTemplate::new("{% if strftime_now is defined %}now{% else %}then{% endif %}");
    assert_eq!(template.render(&inputs).unwrap(), "then");
}

#[test]
fn a_refusal_carries_the_templates_own_words() {
    let template = "{% for m in messages %}\n{{ raise_exception('Roles must alternate!') }}{% endfor %}";
    assert_eq!(render(template), Err(TemplateError::Refused("Roles must alternate!".to_owned())));
}

#[test]
fn broken_syntax_is_an_error_that_names_the_line() {
    let template = "line one\n{% for m in messages %}\n{{ m.role }\n{% endfor %}";
    let Err(TemplateError::Syntax { line, message }) = ChatTemplate::new(template).check() else { panic!("it parses") };
    assert_eq!(line, 3);
    assert!(message.contains("syntax error"), "{message}");
    assert!(matches!(render(template), Err(TemplateError::Syntax { line: 3, .. })));
}

#[test]
fn a_failing_template_is_an_error_that_names_the_line() {
    let Err(TemplateError::Render { line, message }) = render("ok\n\n{{ messages[0].content + 1 }}") else {
        panic!("it renders")
    };
    assert_eq!(line, 3);
    assert!(!message.is_empty());
    assert!(matches!(render("{{ nothing.at.all }}"), Err(TemplateError::Render { line: 1, .. })));
    assert!(matches!(
        render("{{ x | nosuchfilter }}"),
        Err(TemplateError::Syntax { line: 1, .. } | TemplateError::Render { line: 1, .. })
    ));
}

#[test]
fn a_template_that_loops_for_ever_ends() {
    let nested = "{% for a in range(100000) %}\n{% for b in range(100000) %}{% for c in range(100000) %}{% set d = a %}{% endfor %}{% endfor %}{% endfor %}";
    assert!(matches!(render(nested), Err(TemplateError::Endless { .. })));
    let recursion = "{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(1) }}";
    assert!(matches!(render(recursion), Err(TemplateError::Endless { .. } | TemplateError::Render { .. })));
}

#[test]
fn a_template_that_doubles_its_text_ends() {
    let template = "{% set n = namespace(t='0123456789abcdef') %}{% for a in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}";
    assert!(matches!(render(template), Err(TemplateError::Endless { .. })));
    let template = "{% set n = namespace(t=[1]) %}{% for a in range(60) %}{% set n.t = [n.t, n.t] %}{% endfor %}{{ n.t | tojson }}";
    assert!(render(template).is_err());
}

#[test]
fn a_value_nested_as_deep_as_fuel_allows_is_no_danger_on_wasms_stack() {
    let nested = "{% set n = namespace(t=[1]) %}{% for a in range(100000) %}{% set n.t = [n.t] %}{% endfor %}";
    let written =
        "{% set n = namespace(t=[1]) %}{% for a in range(5000) %}{% set n.t = [n.t] %}{% endfor %}{{ n.t | tojson }}";
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let thread = thread.spawn(move || {
        assert!(matches!(render(nested), Err(TemplateError::Endless { .. })));
        assert!(matches!(render(written), Err(TemplateError::Render { .. })));
    });
    thread.unwrap().join().unwrap();
}

/// In the way of the longest templates in use: looks back for the last question, cuts thoughts off, tests for tools.
const THOROUGH: &str = r"{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.last == messages|length - 1 and message.role == 'user' and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if message.role == 'assistant' and '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('
') %}{%- endif %}
    {%- if message.tool_calls %}{%- for call in message.tool_calls %}{{ call | tojson }}{%- endfor %}{%- endif %}
    {{- '<|im_start|>' + message.role + '
' + content + '<|im_end|>' + '
' }}{{ message | tojson }}
{%- endfor %}";

#[test]
fn a_long_chat_has_fuel_enough() {
    let text = "All work and no play makes Jack a dull boy.
"
    .repeat(20);
    let messages: Vec<Json> = (0..2000)
        .map(|turn| json!({"role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": text}))
        .collect();
    let rendered = render_with(THOROUGH, &json!(messages), &json!({})).unwrap();
    assert!(rendered.len() > 2 * 2000 * text.len());
    let one = json!([{"role": "user", "content": "x".repeat(4 << 20)}]);
    assert!(render_with(THOROUGH, &one, &json!({})).unwrap().len() > 8 << 20);
}

#[test]
fn variables_cannot_replace_the_messages() {
    let got = render_with("{{ messages | length }}{{ extra }}", &json!([]), &json!({"messages": [1, 2], "extra": "e"}))
        .unwrap();
    assert_eq!(got, "0e");
}
