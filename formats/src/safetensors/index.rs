//! `model.safetensors.index.json`: which shard of a model has which tensor.
//!
//! Shard names are joined to a folder's path or address by whoever fetches them, so they have to be plain file names:
//! letters, digits, `-`, `_` and `.`, not beginning with a dot. That leaves no way up the tree, to another host, into a
//! query, or around the check by percent encoding.

use super::parse::parse_json;
use crate::FormatError;
use crate::error::quoted;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The index of a sharded model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    shard_of: BTreeMap<String, String>,
}

impl Index {
    /// Parses an index; `name` is for errors.
    pub fn parse(name: &str, json: &str) -> Result<Self, FormatError> {
        let Root { weight_map: Pairs(pairs) } = parse_json(name, json)?;
        if pairs.is_empty() {
            return Err(FormatError::NoShards { file: name.to_owned() });
        }
        let mut shard_of: BTreeMap<String, String> = BTreeMap::new();
        for (tensor, shard) in pairs {
            if !is_plain(&shard) {
                return Err(FormatError::BadShardName { file: name.to_owned(), shard: quoted(&shard) });
            }
            if shard_of.contains_key(&tensor) {
                return Err(FormatError::DuplicateTensor { file: name.to_owned(), tensor: quoted(&tensor) });
            }
            shard_of.insert(tensor, shard);
        }
        Ok(Self { shard_of })
    }

    /// The shards' file names, each once, sorted: `model-00001-of-00003.safetensors` comes first.
    pub fn shards(&self) -> Vec<String> {
        let shards: BTreeSet<&String> = self.shard_of.values().collect();
        shards.into_iter().cloned().collect()
    }

    /// The shard that has a tensor.
    pub fn shard_of(&self, tensor: &str) -> Option<&str> {
        self.shard_of.get(tensor).map(String::as_str)
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &str> {
        self.shard_of.keys().map(String::as_str)
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

#[derive(Deserialize)]
struct Root {
    weight_map: Pairs,
}

/// A map with its repeated keys.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from tensor names to file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

#[cfg(test)]
mod tests {
    use super::Index;
    use crate::FormatError;

    const FILE: &str = "model.safetensors.index.json";

    #[test]
    fn an_index_lists_each_shard_once_in_order() {
        let json = r#"{"metadata": {"total_size": 7}, "weight_map":
            {"b": "model-00002-of-00002.safetensors", "a": "model-00001-of-00002.safetensors", "c": "model-00002-of-00002.safetensors"}}"#;
        let index = Index::parse(FILE, json).expect("it is valid");
        assert_eq!(index.shards(), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
        assert_eq!(index.shard_of("c"), Some("model-00002-of-00002.safetensors"));
        assert_eq!(index.shard_of("d"), None);
        assert_eq!(index.tensors().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_shard_that_is_not_a_plain_file_name_is_refused() {
        for shard in [
            "",
            ".",
            "..",
            "../secret",
            "a/b.safetensors",
            "/etc/passwd",
            "a\\\\b",
            "https://example.org/a",
            "data:,",
            "a%2fb",
            "a?b",
            "a#b",
            ".hidden",
            "a b",
            "C:a",
            "a\\u0000",
        ] {
            let error = Index::parse(FILE, &format!(r#"{{"weight_map": {{"t": "{shard}"}}}}"#));
            assert!(
                matches!(&error, Err(FormatError::BadShardName { file, .. }) if file == FILE),
                "{shard}: {error:?}"
            );
        }
    }

    #[test]
    fn an_index_without_shards_is_an_error() {
        let error = Index::parse(FILE, r#"{"weight_map": {}}"#);
        assert_eq!(error, Err(FormatError::NoShards { file: FILE.into() }));
    }

    #[test]
    fn a_tensor_in_two_shards_is_an_error_that_names_it() {
        let error = Index::parse(FILE, r#"{"weight_map": {"t": "a", "t": "b"}}"#);
        assert_eq!(error, Err(FormatError::DuplicateTensor { file: FILE.into(), tensor: "t".into() }));
    }

    #[test]
    fn json_of_another_shape_is_an_error_that_names_the_file() {
        for json in ["", "[]", "{}", r#"{"weight_map": []}"#, r#"{"weight_map": {"t": 1}}"#, "<!doctype html>"] {
            let error = Index::parse(FILE, json);
            assert!(matches!(&error, Err(FormatError::Json { file, .. }) if file == FILE), "{json}: {error:?}");
        }
    }
}
