//! Where a chat template is found, and what has to be changed before Jinja reads it.

use super::TemplateError;
use serde_json::Value;

/// The template in a `tokenizer_config.json`: `chat_template` is a text, or a list of named texts of which the one
/// named "default" is taken (the others are for tools and retrieval).
pub fn from_tokenizer_config(config: &Value) -> Result<Option<String>, TemplateError> {
    match config.get("chat_template") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(template)) => Ok(Some(template.clone())),
        Some(Value::Array(named)) => {
            let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
            let named: Vec<(String, String)> =
                named.iter().filter_map(|entry| text(entry, "name").zip(text(entry, "template"))).collect();
            if let Some((_, template)) = named.iter().find(|(name, _)| name == "default") {
                return Ok(Some(template.clone()));
            }
            match named.as_slice() {
                [] => Err(TemplateError::Shape),
                [(_, template)] => Ok(Some(template.clone())),
                several => {
                    let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                    Err(TemplateError::NoDefault(names.join(", ")))
                }
            }
        }
        Some(_) => Err(TemplateError::Shape),
    }
}

/// `{% generation %}` marks the assistant's words for training and does nothing otherwise; it is an extension that only
/// `transformers` has. It becomes an `if` that is always true, which keeps the trimming of white space and the numbers
/// of lines.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = tag.find("%}") else {
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(end);
        let replaced = match tag.trim_start_matches(['{', '%', '-', '+']).trim_end_matches(['-', '+']).trim() {
            "generation" => tag.replacen("generation", "if true", 1),
            "endgeneration" => tag.replacen("endgeneration", "endif", 1),
            _ => tag.to_owned(),
        };
        out.push_str(&replaced);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn generation_tags_become_an_if_and_keep_their_trimming() {
        let source =
            "a\n{%- generation -%} b {% endgeneration %}\n{{ 'generation' }}{% if generation %}{% endif %}{% x";
        let expected = "a\n{%- if true -%} b {% endif %}\n{{ 'generation' }}{% if generation %}{% endif %}{% x";
        assert_eq!(without_generation_tags(source), expected);
    }

    #[test]
    fn of_named_templates_the_default_is_taken() {
        let config =
            json!({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]});
        assert_eq!(from_tokenizer_config(&config), Ok(Some("d".to_owned())));
        let config = json!({"chat_template": [{"name": "rag", "template": "r"}]});
        assert_eq!(from_tokenizer_config(&config), Ok(Some("r".to_owned())));
    }

    #[test]
    fn named_templates_without_a_default_are_an_error_that_names_them() {
        let config =
            json!({"chat_template": [{"name": "rag", "template": "r"}, {"name": "tool_use", "template": "t"}]});
        assert_eq!(from_tokenizer_config(&config), Err(TemplateError::NoDefault("rag, tool_use".to_owned())));
        assert_eq!(from_tokenizer_config(&json!({"chat_template": 3})), Err(TemplateError::Shape));
        assert_eq!(from_tokenizer_config(&json!({"chat_template": []})), Err(TemplateError::Shape));
        assert_eq!(from_tokenizer_config(&json!({})), Ok(None));
    }
}
