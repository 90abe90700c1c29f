//! A kernel's variant by value: its name and its parameters.
//!
//! The database outlives the engine that wrote it, so it knows no enum of kernels: a name and a sorted map of numbers, flags
//! and words say what was built, and another engine reads as much of it as it understands. An index into a list of
//! candidates, as some tuners keep, means another kernel after the next release.

use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::marker::PhantomData;
use thiserror::Error;

/// One tuning parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// A choice of two: subgroups, `f16` arithmetic, packed dot products.
    Flag(bool),
    /// A size or a count.
    Number(i64),
    /// One of several forms, by name.
    Word(String),
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// A kernel and the parameters that it is built from. Orders by name, then by parameters: what decides between equals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Variant {
    /// Name of the kernel's WGSL file, without its ending.
    pub kernel: String,
    /// Its parameters, by name.
    #[serde(default, deserialize_with = "map_without_doubles")]
    pub parameters: BTreeMap<String, ParameterValue>,
}

/// What the engine calls a variant cannot be written down as one, or the other way round.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VariantError {
    /// Not an object with a field `kernel`.
    #[error("a variant has to be an object with a field \"kernel\" that names it")]
    NoKernel,
    /// A parameter that is neither a flag nor a whole number nor a word.
    #[error("the parameter {name} of {kernel} is {value}; parameters are flags, whole numbers and words")]
    Parameter {
        /// Of which kernel.
        kernel: String,
        /// Which.
        name: String,
        /// What it is.
        value: String,
    },
    /// The other side's own words.
    #[error("not a variant of this engine: {0}")]
    Serde(#[from] serde_json::Error),
}

impl Variant {
    /// What an engine's own type says, given that it serializes to an object whose field `kernel` names the kernel and whose
    /// other fields are its parameters. Absent (`null`) parameters are left out.
    pub fn of<T: Serialize>(variant: &T) -> Result<Self, VariantError> {
        let Value::Object(mut fields) = serde_json::to_value(variant)? else { return Err(VariantError::NoKernel) };
        let Some(Value::String(kernel)) = fields.remove("kernel") else { return Err(VariantError::NoKernel) };
        let mut parameters = BTreeMap::new();
        for (name, value) in fields {
            let parameter = match (&value, value.as_i64()) {
                (Value::Null, _) => continue,
                (Value::Bool(flag), _) => ParameterValue::Flag(*flag),
                (Value::String(word), _) => ParameterValue::Word(word.clone()),
                (_, Some(number)) => ParameterValue::Number(number),
                _ => return Err(VariantError::Parameter { kernel, name, value: value.to_string() }),
            };
            parameters.insert(name, parameter);
        }
        Ok(Self { kernel, parameters })
    }

    /// The engine's own type; the reverse of [`Variant::of`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, VariantError> {
        let mut fields = Map::new();
        fields.insert("kernel".to_owned(), Value::String(self.kernel.clone()));
        for (name, parameter) in &self.parameters {
            fields.insert(name.clone(), serde_json::to_value(parameter)?);
        }
        Ok(serde_json::from_value(Value::Object(fields))?)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kernel)?;
        for (name, value) in &self.parameters {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

/// A sorted map in which no key comes twice: JSON leaves open which of the two would count.
pub(crate) fn map_without_doubles<'de, D, V>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Sorted<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Sorted<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = access.next_key::<String>()? {
                match map.entry(key) {
                    Entry::Vacant(place) => place.insert(access.next_value()?),
                    Entry::Occupied(place) => {
                        return Err(serde::de::Error::custom(format!("the key {:?} comes twice", place.key())));
                    }
                };
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Sorted(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kernel", rename_all = "snake_case")]
    enum Kernel {
        Matvec { threads: u32, subgroups: bool, accumulate: String, stage: Option<u32> },
        Embed { scale: f32 },
    }

    #[test]
    fn an_engines_variant_survives_as_a_name_and_a_sorted_map() {
        let kernel = Kernel::Matvec { threads: 16, subgroups: true, accumulate: "f16".to_owned(), stage: None };
        let variant = Variant::of(&kernel).unwrap();
        assert_eq!(variant.to_string(), "matvec accumulate=f16 subgroups=true threads=16");
        assert_eq!(variant.decode::<Kernel>().unwrap(), kernel);
    }

    #[test]
    fn a_parameter_that_would_not_come_back_as_it_was_is_refused() {
        let error = Variant::of(&Kernel::Embed { scale: 0.5 }).unwrap_err();
        assert!(error.to_string().contains("scale"), "{error}");
        assert!(matches!(Variant::of(&3), Err(VariantError::NoKernel)));
    }

    #[test]
    fn a_parameter_that_comes_twice_is_refused() {
        let text = r#"{"kernel": "matvec", "parameters": {"threads": 1, "threads": 2}}"#;
        assert!(serde_json::from_str::<Variant>(text).unwrap_err().to_string().contains("twice"));
    }
}
