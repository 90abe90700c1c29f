//! A GGUF's keys and values, in the order of the file.
//!
//! The getters are strict about what was asked and lenient about how it was written: a count may be any integer type
//! (writers disagree about u32, i32 and u64), a scale any number. A key that is missing and a key of another type are
//! different errors, and both name key and file; the `optional_` forms turn only the first into `None`.

use super::{DEFAULT_ALIGNMENT, Value};
use crate::FormatError;
use crate::error::quoted;
use crate::header::File;
use std::collections::BTreeMap;

/// The metadata of one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    file: String,
    entries: Vec<(String, Value)>,
    /// Where a key is in `entries`. A tree, since hashing has no secret seed in wasm and keys come from strangers.
    index: BTreeMap<String, usize>,
}

impl Metadata {
    /// No keys yet; `file` is for errors.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// Metadata from keys and values, for tests and writers; `file` is for errors. A key that occurs twice is one.
    ///
    /// ```
    /// use tilewright_formats::gguf::{Metadata, Value};
    ///
    /// let metadata = Metadata::from_entries("test.gguf", [
    ///     ("general.architecture", Value::from("llama")),
    ///     ("llama.block_count", 30u32.into()),
    ///     ("tokenizer.ggml.tokens", ["<s>", "a"].as_slice().into()),
    ///     ("tokenizer.ggml.token_type", vec![3i32, 1].into()),
    /// ])?;
    /// assert_eq!(metadata.u64("llama.block_count")?, 30);
    /// assert_eq!(metadata.strings("tokenizer.ggml.tokens")?, ["<s>", "a"]);
    /// assert_eq!(metadata.optional_f64("llama.rope.freq_base")?, None);
    /// # Ok::<(), tilewright_formats::FormatError>(())
    /// ```
    pub fn from_entries<K: Into<String>>(
        file: &str,
        entries: impl IntoIterator<Item = (K, Value)>,
    ) -> Result<Self, FormatError> {
        let mut metadata = Self::new(file);
        for (key, value) in entries {
            metadata.insert(key.into(), value)?;
        }
        Ok(metadata)
    }

    pub(crate) fn insert(&mut self, key: String, value: Value) -> Result<(), FormatError> {
        if self.index.insert(key.clone(), self.entries.len()).is_some() {
            return Err(FormatError::DuplicateKey { file: self.file.clone(), key: quoted(&key) });
        }
        self.entries.push((key, value));
        Ok(())
    }

    /// The file that this is the metadata of.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key, of whatever type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).and_then(|&at| self.entries.get(at)).map(|(_, value)| value)
    }

    /// A string.
    pub fn string(&self, key: &str) -> Result<&str, FormatError> {
        self.required(key, self.optional_string(key)?)
    }

    /// A string, if the key is there.
    pub fn optional_string(&self, key: &str) -> Result<Option<&str>, FormatError> {
        self.read(key, "a string", Value::as_str)
    }

    /// An integer of any type that is not negative.
    pub fn u64(&self, key: &str) -> Result<u64, FormatError> {
        self.required(key, self.optional_u64(key)?)
    }

    /// An integer of any type that is not negative, if the key is there.
    pub fn optional_u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        self.read(key, "an integer that is not negative", Value::as_u64)
    }

    /// An integer of any type.
    pub fn i64(&self, key: &str) -> Result<i64, FormatError> {
        self.required(key, self.optional_i64(key)?)
    }

    /// An integer of any type, if the key is there.
    pub fn optional_i64(&self, key: &str) -> Result<Option<i64>, FormatError> {
        self.read(key, "an integer below 2^63", Value::as_i64)
    }

    /// A number of any type.
    pub fn f64(&self, key: &str) -> Result<f64, FormatError> {
        self.required(key, self.optional_f64(key)?)
    }

    /// A number of any type, if the key is there.
    pub fn optional_f64(&self, key: &str) -> Result<Option<f64>, FormatError> {
        self.read(key, "a number", Value::as_f64)
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Result<bool, FormatError> {
        self.required(key, self.optional_bool(key)?)
    }

    /// A boolean, if the key is there.
    pub fn optional_bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.read(key, "a boolean", Value::as_bool)
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<&[String], FormatError> {
        self.required(key, self.optional_strings(key)?)
    }

    /// An array of strings, if the key is there.
    pub fn optional_strings(&self, key: &str) -> Result<Option<&[String]>, FormatError> {
        self.read(key, "an array of strings", |value| value.as_array()?.as_strings())
    }

    /// An array of integers of any type.
    pub fn integers(&self, key: &str) -> Result<Vec<i64>, FormatError> {
        self.required(key, self.optional_integers(key)?)
    }

    /// An array of integers of any type, if the key is there.
    pub fn optional_integers(&self, key: &str) -> Result<Option<Vec<i64>>, FormatError> {
        self.read(key, "an array of integers below 2^63", |value| value.as_array()?.to_integers())
    }

    /// An array of floating-point numbers.
    pub fn floats(&self, key: &str) -> Result<Vec<f32>, FormatError> {
        self.required(key, self.optional_floats(key)?)
    }

    /// An array of floating-point numbers, if the key is there.
    pub fn optional_floats(&self, key: &str) -> Result<Option<Vec<f32>>, FormatError> {
        self.read(key, "an array of floating-point numbers", |value| value.as_array()?.to_floats())
    }

    /// `general.alignment`, checked, or its default.
    pub(crate) fn alignment(&self, file: &File) -> Result<u64, FormatError> {
        let Some(found) = self.get("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
        let alignment = found.as_u64().filter(|value| value.is_power_of_two() && *value <= 1 << 31);
        alignment.ok_or_else(|| FormatError::BadAlignment {
            file: file.name.clone(),
            found: found.as_i64().map_or_else(|| found.type_name(), |value| value.to_string()),
        })
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, FormatError> {
        value.ok_or_else(|| FormatError::MissingKey { file: self.file.clone(), key: quoted(key) })
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let found = || match value.as_i64() {
            Some(integer) if integer < 0 => format!("{} {integer}", value.type_name()),
            _ => value.type_name(),
        };
        read(value).map(Some).ok_or_else(|| FormatError::WrongValueType {
            file: self.file.clone(),
            key: quoted(key),
            expected,
            found: found(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Metadata;
    use crate::FormatError;
    use crate::gguf::{Array, Value};

    fn metadata() -> Metadata {
        let entries: Vec<(&str, Value)> = vec![
            ("u8", 8u8.into()),
            ("i8", (-8i8).into()),
            ("u16", 16u16.into()),
            ("i16", 16i16.into()),
            ("u32", 32u32.into()),
            ("i32", 32i32.into()),
            ("u64", u64::MAX.into()),
            ("i64", 64i64.into()),
            ("f32", 0.5f32.into()),
            ("f64", 0.25f64.into()),
            ("bool", true.into()),
            ("string", "text".into()),
            ("strings", ["a", "b"].as_slice().into()),
            ("types", vec![1i32, 3].into()),
            ("scores", vec![-1.0f32, 2.0].into()),
            ("nothing", Vec::<u8>::new().into()),
            ("nested", Value::Array(Array::Array(vec![Array::U8(vec![1])]))),
        ];
        Metadata::from_entries("m.gguf", entries).expect("keys differ")
    }

    #[test]
    fn any_integer_type_is_an_integer_and_any_number_is_a_number() {
        let metadata = metadata();
        for (key, value) in
            [("u8", 8), ("u16", 16), ("i16", 16), ("u32", 32), ("i32", 32), ("u64", u64::MAX), ("i64", 64)]
        {
            assert_eq!(metadata.u64(key), Ok(value), "{key}");
            assert_eq!(metadata.f64(key), Ok(value as f64), "{key}");
        }
        assert_eq!(metadata.i64("i8"), Ok(-8));
        assert_eq!(metadata.f64("f32"), Ok(0.5));
        assert_eq!(metadata.f64("f64"), Ok(0.25));
        assert_eq!(metadata.bool("bool"), Ok(true));
        assert_eq!(metadata.string("string"), Ok("text"));
        assert_eq!(metadata.integers("types"), Ok(vec![1, 3]));
        assert_eq!(metadata.floats("scores"), Ok(vec![-1.0, 2.0]));
        assert_eq!(metadata.strings("nothing"), Ok(&[][..]));
    }

    #[test]
    fn a_missing_key_is_an_error_that_names_key_and_file() {
        let missing = FormatError::MissingKey { file: "m.gguf".into(), key: "llama.block_count".into() };
        assert_eq!(metadata().u64("llama.block_count"), Err(missing));
        assert_eq!(metadata().optional_u64("llama.block_count"), Ok(None));
    }

    #[test]
    fn a_value_of_another_type_is_an_error_that_says_both_types() {
        let metadata = metadata();
        let wrong = |key: &str, expected, found: &str| FormatError::WrongValueType {
            file: "m.gguf".into(),
            key: key.into(),
            expected,
            found: found.into(),
        };
        assert_eq!(metadata.string("u32"), Err(wrong("u32", "a string", "u32")));
        assert_eq!(metadata.optional_bool("u8"), Err(wrong("u8", "a boolean", "u8")));
        assert_eq!(metadata.u64("i8"), Err(wrong("i8", "an integer that is not negative", "i8 -8")));
        assert_eq!(metadata.i64("u64"), Err(wrong("u64", "an integer below 2^63", "u64")));
        assert_eq!(metadata.f64("string"), Err(wrong("string", "a number", "string")));
        assert_eq!(metadata.strings("types"), Err(wrong("types", "an array of strings", "an array of i32")));
        assert_eq!(
            metadata.integers("nested"),
            Err(wrong("nested", "an array of integers below 2^63", "an array of array"))
        );
    }

    #[test]
    fn keys_keep_the_order_of_the_file_and_a_second_one_is_refused() {
        let entries = [("z", Value::from(1u8)), ("a", 2u8.into())];
        let metadata = Metadata::from_entries("m.gguf", entries.clone()).expect("keys differ");
        assert_eq!(metadata.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["z", "a"]);
        let twice = Metadata::from_entries("m.gguf", entries.clone().into_iter().chain(entries));
        assert_eq!(twice, Err(FormatError::DuplicateKey { file: "m.gguf".into(), key: "z".into() }));
    }
}
