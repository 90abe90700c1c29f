//! Values of keys, read piece by piece.
//!
//! A vocabulary is one value of some megabytes, so an array is not an item: it is a stack of open arrays, the innermost
//! last, which grows string by string and by as many numbers at a time as there are. A stack and not recursion, so that
//! reading can stop anywhere, and nesting is a number that can be limited.

use super::MAX_NESTING;
use super::item::{Input, Item};
use super::value::{Array, Kind, Value};
use crate::FormatError;
use crate::error::quoted;

/// A value that is being read.
#[derive(Debug)]
pub(super) enum PartialValue {
    /// Not an array, so an item.
    Scalar(Kind),
    /// Empty before the outermost array's type and count.
    Array(Vec<OpenArray>),
}

#[derive(Debug)]
pub(super) struct OpenArray {
    elements: Array,
    missing: u64,
}

impl PartialValue {
    pub(super) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Array => Self::Array(Vec::new()),
            scalar => Self::Scalar(scalar),
        }
    }

    /// Reads as much of the value as there is; gives it when it is whole.
    pub(super) fn read(&mut self, input: &mut Input<'_>, key: &str) -> Item<Value> {
        match self {
            Self::Scalar(Kind::String) => {
                let text = input.string(|| format!("the value of key {:?}", quoted(key)))?;
                Ok(text.map(Value::String))
            }
            Self::Scalar(kind) => {
                let Some(bytes) = input.take(kind.min_bytes()) else { return Ok(None) };
                let mut one = Array::empty(*kind);
                extend(&mut one, bytes, input, key)?;
                Ok(one.into_first())
            }
            Self::Array(open) => {
                if open.is_empty() && !begin_array(open, input, key)? {
                    return Ok(None);
                }
                read_array(open, input, key).map(|array| array.map(Value::Array))
            }
        }
    }
}

fn read_array(open: &mut Vec<OpenArray>, input: &mut Input<'_>, key: &str) -> Item<Array> {
    while let Some(array) = open.last_mut() {
        if array.missing == 0 {
            let Some(OpenArray { elements: mut whole, .. }) = open.pop() else { break };
            whole.shrink_to_fit();
            match open.last_mut() {
                Some(OpenArray { elements: Array::Array(siblings), .. }) => siblings.push(whole),
                _ => return Ok(Some(whole)),
            }
            continue;
        }
        let read = match &mut array.elements {
            Array::Array(_) => {
                if !begin_array(open, input, key)? {
                    return Ok(None);
                }
                continue;
            }
            Array::String(texts) => {
                let what = || format!("string {} of key {:?}", texts.len(), quoted(key));
                let Some(text) = input.string(what)? else { return Ok(None) };
                texts.push(text);
                1
            }
            numbers => {
                let each = numbers.kind().min_bytes();
                let count = array.missing.min(input.rest.len() as u64 / each);
                let Some(bytes) = input.take(count * each).filter(|bytes| !bytes.is_empty()) else { return Ok(None) };
                extend(numbers, bytes, input, key)?;
                count
            }
        };
        array.missing -= read;
    }
    Ok(None)
}

/// Reads an array's type and count; `false` if they are not whole yet.
fn begin_array(open: &mut Vec<OpenArray>, input: &mut Input<'_>, key: &str) -> Result<bool, FormatError> {
    let mut ahead = *input;
    let Some(kind) = ahead.kind(key)? else { return Ok(false) };
    let Some(count) = ahead.u64() else { return Ok(false) };
    if open.len() == MAX_NESTING {
        let (file, key) = (input.file.name.clone(), quoted(key));
        return Err(FormatError::NestedTooDeep { file, key, limit: MAX_NESTING });
    }
    ahead.check_claim(count, kind.min_bytes(), || {
        format!("an array of {count} {} elements of key {:?}", kind.name(), quoted(key))
    })?;
    *input = ahead;
    if let Some(outer) = open.last_mut() {
        outer.missing -= 1;
    }
    open.push(OpenArray { elements: Array::empty(kind), missing: count });
    Ok(true)
}

fn extend(array: &mut Array, bytes: &[u8], input: &Input<'_>, key: &str) -> Result<(), FormatError> {
    array.extend_from_le_bytes(bytes).map_err(|byte| FormatError::BadBool {
        file: input.file.name.clone(),
        key: quoted(key),
        byte,
    })
}
