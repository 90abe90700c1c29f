//! Writes small GGUF files, for tests of everything that reads one.
//!
//! It holds the whole file, so it is no tool for converting models. What it writes is version 3 and passes the reader's
//! own checks; what would not is refused here.

use super::value::{Array, Value};
use super::{MAGIC, Metadata, tensor_type};
use crate::error::quoted;
use crate::header::File;
use crate::{DType, FormatError, Header, TensorInfo};

/// A tensor to be written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its element type.
    pub dtype: DType,
    /// Its shape, outermost first, as in [`TensorInfo`].
    pub shape: &'a [u64],
    /// Its bytes, as the file has them.
    pub data: &'a [u8],
}

/// The bytes of a GGUF with these keys and tensors, in this order. Errors name [`Metadata::file`].
pub fn write(metadata: &Metadata, tensors: &[Tensor<'_>]) -> Result<Vec<u8>, FormatError> {
    let file = File { name: metadata.file().to_owned(), len: None };
    let alignment = metadata.alignment(&file)?;
    let mut out = MAGIC.to_vec();
    put_u32(&mut out, 3);
    put_u64(&mut out, tensors.len() as u64);
    put_u64(&mut out, metadata.len() as u64);
    for (key, value) in metadata.iter() {
        file.check_name_len(key.len() as u64, || format!("key {:?}", quoted(key)))?;
        put_string(&mut out, key);
        put_u32(&mut out, value.kind() as u32);
        put_value(&mut out, value);
    }
    let mut offset = 0;
    let mut infos = Vec::new();
    for tensor in tensors {
        file.check_name_len(tensor.name.len() as u64, || format!("tensor {:?}", quoted(tensor.name)))?;
        let info = TensorInfo::new(&file, tensor.name.to_owned(), tensor.dtype, tensor.shape.to_vec(), offset)?;
        if info.bytes != tensor.data.len() as u64 {
            return Err(FormatError::WrongTensorSize {
                file: file.name,
                tensor: quoted(tensor.name),
                expected: info.bytes,
                found: tensor.data.len() as i128,
            });
        }
        put_string(&mut out, tensor.name);
        put_u32(&mut out, tensor.shape.len() as u32);
        tensor.shape.iter().rev().for_each(|&length| put_u64(&mut out, length));
        put_u32(&mut out, tensor_type::number(tensor.dtype));
        put_u64(&mut out, offset);
        offset = info.end().next_multiple_of(alignment);
        infos.push(info);
    }
    Header::new(&file, infos, None)?;
    let pad = |out: &mut Vec<u8>| out.resize(out.len().next_multiple_of(alignment as usize), 0);
    pad(&mut out);
    for tensor in tensors {
        out.extend_from_slice(tensor.data);
        pad(&mut out);
    }
    Ok(out)
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend(value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_u64(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(value) => out.push(*value),
        Value::I8(value) => out.extend(value.to_le_bytes()),
        Value::U16(value) => out.extend(value.to_le_bytes()),
        Value::I16(value) => out.extend(value.to_le_bytes()),
        Value::U32(value) => out.extend(value.to_le_bytes()),
        Value::I32(value) => out.extend(value.to_le_bytes()),
        Value::F32(value) => out.extend(value.to_le_bytes()),
        Value::Bool(value) => out.push((*value).into()),
        Value::String(text) => put_string(out, text),
        Value::Array(array) => put_array(out, array),
        Value::U64(value) => out.extend(value.to_le_bytes()),
        Value::I64(value) => out.extend(value.to_le_bytes()),
        Value::F64(value) => out.extend(value.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    put_u32(out, array.kind() as u32);
    put_u64(out, array.len() as u64);
    match array {
        Array::U8(elements) => out.extend(elements),
        Array::I8(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::U16(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::I16(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::U32(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::I32(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::F32(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::Bool(elements) => out.extend(elements.iter().map(|&element| u8::from(element))),
        Array::String(elements) => elements.iter().for_each(|element| put_string(out, element)),
        Array::Array(elements) => elements.iter().for_each(|element| put_array(out, element)),
        Array::U64(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::I64(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
        Array::F64(elements) => elements.iter().for_each(|element| out.extend(element.to_le_bytes())),
    }
}
