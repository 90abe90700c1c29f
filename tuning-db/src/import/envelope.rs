//! The file's outermost object, without its records in memory.

use crate::exchange::FORMAT;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// What the file says it is.
#[derive(Default)]
pub(super) struct Envelope {
    pub(super) is_ours: bool,
    pub(super) schema: u64,
    pub(super) unknown_fields: usize,
}

impl Envelope {
    /// Reads to the end, so that what is not well-formed anywhere is found before anything is taken.
    pub(super) fn survey(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut envelope = Self::default();
        let mut seen = Seen::default();
        walk(bytes, &mut |field, value| {
            seen.once(field)?;
            match field {
                Field::Format => envelope.is_ours = value.get() == format!("\"{FORMAT}\""),
                // What is no number is none of ours, and more than there can be is newer.
                Field::Schema => envelope.schema = value.get().parse().unwrap_or(u64::MAX),
                Field::Records | Field::Trials => check_list(value)?,
                Field::Unknown => envelope.unknown_fields += 1,
            }
            Ok(())
        })?;
        if envelope.schema == 0 {
            envelope.is_ours = false;
        }
        Ok(envelope)
    }
}

/// One record as text.
#[derive(Clone, Copy)]
pub(super) enum RawItem<'a> {
    Record(&'a str),
    Trial(&'a str),
}

impl<'a> RawItem<'a> {
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Record(text) | Self::Trial(text) => text,
        }
    }
}

/// Gives every record and trial to `take`, one at a time.
pub(super) fn each_item(bytes: &[u8], mut take: impl FnMut(RawItem<'_>)) -> Result<(), serde_json::Error> {
    walk(bytes, &mut |field, value| {
        let mut list = serde_json::Deserializer::from_str(value.get());
        match field {
            Field::Records => list.deserialize_seq(List(|raw: &RawValue| take(RawItem::Record(raw.get())))),
            Field::Trials => list.deserialize_seq(List(|raw: &RawValue| take(RawItem::Trial(raw.get())))),
            _ => Ok(()),
        }
    })
}

fn check_list(value: &RawValue) -> Result<(), serde_json::Error> {
    serde_json::Deserializer::from_str(value.get()).deserialize_seq(List(|_: &RawValue| ()))
}

#[derive(Clone, Copy)]
enum Field {
    Format,
    Schema,
    Records,
    Trials,
    Unknown,
}

/// Known fields that have come.
#[derive(Default)]
struct Seen([bool; 4]);

impl Seen {
    fn once(&mut self, field: Field) -> Result<(), serde_json::Error> {
        match self.0.get_mut(field as usize) {
            Some(seen) if *seen => Err(serde_json::Error::custom("a field of the outermost object comes twice")),
            Some(seen) => {
                *seen = true;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

type OnField<'a> = &'a mut dyn FnMut(Field, &RawValue) -> Result<(), serde_json::Error>;

/// Calls `on_field` with every field of the outermost object, in the file's order.
fn walk(bytes: &[u8], on_field: OnField<'_>) -> Result<(), serde_json::Error> {
    struct Fields<'a>(OnField<'a>);

    impl<'de> Visitor<'de> for Fields<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with records")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                let field = match key.as_str() {
                    "format" => Field::Format,
                    "schema" => Field::Schema,
                    "records" => Field::Records,
                    "trials" => Field::Trials,
                    _ => Field::Unknown,
                };
                let value: &RawValue = map.next_value()?;
                (self.0)(field, value).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.deserialize_map(Fields(on_field))?;
    deserializer.end()
}

/// A list whose elements are seen as text, one at a time.
struct List<F>(F);

impl<'de, F: FnMut(&RawValue)> Visitor<'de> for List<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(raw) = list.next_element::<&RawValue>()? {
            (self.0)(raw);
        }
        Ok(())
    }
}
