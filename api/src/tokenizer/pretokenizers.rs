//! How byte-level vocabularies cut text into words, by the name that a GGUF gives (`tokenizer.ggml.pre`).
//!
//! A GGUF doesn't carry the rules, only a name for them; which rules a name means is settled by llama.cpp's
//! `llama-vocab.cpp`. Each is a list of patterns, applied one after the other: a pattern's matches become words of
//! their own, and so does what lies between them. The patterns here are the ones of the models' own `tokenizer.json`,
//! where llama.cpp had to rewrite them for its regex engine. Names whose rules aren't patterns are left out on purpose
//! (`kimi-k2`, `afmoe`, `superbpe`, ...): a wrong split gives wrong ids, and the model gets worse without a word.

/// How one name cuts text.
pub(super) struct PreTokenizer {
    /// Patterns, each applied to what those before it left.
    pub(super) patterns: &'static [&'static str],
    /// A word that is a token as a whole is taken as that, whatever the merges say.
    pub(super) ignore_merges: bool,
    /// Whether prompts begin with BOS where the file doesn't say.
    pub(super) add_bos: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const BAILING: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const MINICPM5: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|.,!?…。，、।۔،)]+";

/// The rules that a name stands for; no name at all means `default`, as old files have none.
pub(super) fn find(name: &str) -> Option<PreTokenizer> {
    let plain = |patterns| PreTokenizer { patterns, ignore_merges: false, add_bos: false };
    Some(match name {
        "default" | "" => plain(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]),
        "gpt-2" | "phi-2" | "mpt" | "olmo" | "jais" | "trillion" | "granite-docling" | "gigachat" | "a.x-4.0"
        | "mellum" | "modern-bert" | "exaone4" => plain(&[GPT2]),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
            plain(&[r"\p{N}", GPT2])
        }
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2" => {
            PreTokenizer { patterns: &[LLAMA3], ignore_merges: true, add_bos: true }
        }
        "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => plain(&[LLAMA3]),
        "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "stablelm2" | "hunyuan" | "megrez" | "grok-2"
        | "solar-open" => plain(&[QWEN2]),
        "qwen35" => plain(&[QWEN35]),
        "tekken" => PreTokenizer { patterns: &[TEKKEN], ignore_merges: true, add_bos: true },
        "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => plain(&[GPT4O]),
        "deepseek-coder" => plain(&[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]),
        "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => {
            plain(&[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3])
        }
        "falcon" => plain(&[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"]),
        "bloom" | "poro-chat" | "gpt3-finnish" => plain(&[BLOOM]),
        "viking" => plain(&[BLOOM, r"\p{N}"]),
        "bailingmoe" | "bailingmoe2" | "llada-moe" => plain(&[BAILING]),
        "seed-coder" => plain(&[SEED_CODER]),
        "exaone-moe" => plain(&[EXAONE_MOE]),
        "minicpm5" => PreTokenizer { patterns: &[r"\p{N}{1,3}", MINICPM5], ignore_merges: true, add_bos: false },
        "laguna" => plain(&[r"[^\n]+|[\n]+", QWEN2]),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, SplitDelimiterBehavior};

    fn words(name: &str, text: &str) -> Vec<String> {
        let mut string = PreTokenizedString::from(text);
        for pattern in find(name).unwrap().patterns {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false).unwrap().pre_tokenize(&mut string).unwrap();
        }
        string
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .map(|(word, ..)| word.to_owned())
            .collect()
    }

    #[test]
    fn gpt2_keeps_a_space_with_the_word_after_it() {
        assert_eq!(words("gpt-2", "I'm here  now 123\n\n"), ["I", "'m", " here", " ", " now", " 123", "\n\n"]);
    }

    #[test]
    fn smollm_splits_digits_before_words() {
        assert_eq!(words("smollm", "in 2024, x2"), ["in", " ", "2", "0", "2", "4", ",", " x", "2"]);
    }

    #[test]
    fn llama3_groups_three_digits_and_takes_contractions_in_any_case() {
        assert_eq!(
            words("llama-bpe", "WE'LL pay 12345!\n\n ok"),
            ["WE", "'LL", " pay", " ", "123", "45", "!\n\n", " ok"]
        );
    }

    #[test]
    fn qwen2_takes_single_digits() {
        assert_eq!(words("qwen2", "a12\n  b"), ["a", "1", "2", "\n", " ", " b"]);
    }

    #[test]
    fn tekken_cuts_where_upper_case_begins() {
        assert_eq!(words("tekken", "camelCase 9"), ["camel", "Case", " ", "9"]);
    }

    #[test]
    fn the_default_splits_punctuation_first() {
        assert_eq!(words("default", "a+b, 12345"), ["a", "+", "b", ",", " ", "123", "45"]);
        assert_eq!(words("", "a,b"), words("default", "a,b"));
    }

    #[test]
    fn every_name_has_patterns_that_compile_and_lose_no_text() {
        let text = "Hi,  it's 12345 naïve 你好\u{3042} \t\r\n 🙂'LL x_y/z\n\n\u{200b}é end. ";
        for name in [
            "default",
            "gpt-2",
            "smollm",
            "llama3",
            "dbrx",
            "qwen2",
            "qwen35",
            "tekken",
            "gpt-4o",
            "deepseek-coder",
            "deepseek-v3",
            "falcon",
            "bloom",
            "viking",
            "bailingmoe",
            "seed-coder",
            "exaone-moe",
            "minicpm5",
            "laguna",
        ] {
            assert_eq!(words(name, text).concat(), text, "{name}");
        }
    }

    #[test]
    fn a_name_nobody_knows_is_not_guessed() {
        assert!(find("kimi-k2").is_none() && find("gpt-3").is_none());
    }
}
