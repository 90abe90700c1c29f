//! Strategies that make small valid files of either format, with what a reader has to say of them.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use tilewright_formats::gguf::{self, Array, Metadata, Value};
use tilewright_formats::{DType, TensorInfo};

/// A tensor that was put into a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Vec<u8>,
}

/// A file and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Valid {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tensors: BTreeMap<String, Written>,
    pub(crate) metadata: Option<Metadata>,
}

impl Valid {
    /// Whether a header describes these tensors, and their data is this.
    pub(crate) fn assert_read(&self, infos: &[TensorInfo], data: &[Vec<u8>]) {
        let read = infos.iter().zip(data).map(|(info, data)| {
            let written = Written { dtype: info.dtype, shape: info.shape.clone(), data: data.clone() };
            (info.name.clone(), written)
        });
        assert_eq!(read.collect::<BTreeMap<_, _>>(), self.tensors);
        assert_eq!(infos.len(), self.tensors.len());
    }
}

fn tensors(dtypes: &'static [DType]) -> impl Strategy<Value = BTreeMap<String, Written>> {
    let tensor = (select(dtypes), vec(1u64..4, 1..=4), any::<u8>()).prop_map(|(dtype, mut shape, seed)| {
        if let Some(row) = shape.last_mut() {
            *row *= dtype.block_len();
        }
        let bytes = shape.iter().product::<u64>() / dtype.block_len() * dtype.block_bytes();
        let data = (0..bytes).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        Written { dtype, shape, data }
    });
    btree_map("[a-zé.0-9]{0,12}", tensor, 0..5)
}

fn array() -> impl Strategy<Value = Array> {
    let flat = prop_oneof![
        vec(any::<u8>(), 0..20).prop_map(Array::U8),
        vec(any::<i8>(), 0..20).prop_map(Array::I8),
        vec(any::<u16>(), 0..20).prop_map(Array::U16),
        vec(any::<i16>(), 0..20).prop_map(Array::I16),
        vec(any::<u32>(), 0..20).prop_map(Array::U32),
        vec(any::<i32>(), 0..20).prop_map(Array::I32),
        vec(any::<f32>(), 0..20).prop_map(Array::F32),
        vec(any::<bool>(), 0..20).prop_map(Array::Bool),
        vec(".{0,10}", 0..20).prop_map(Array::String),
        vec(any::<u64>(), 0..20).prop_map(Array::U64),
        vec(any::<i64>(), 0..20).prop_map(Array::I64),
        vec(any::<f64>(), 0..20).prop_map(Array::F64),
    ];
    flat.prop_recursive(4, 40, 4, |element| vec(element, 0..4).prop_map(Array::Array))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<f32>().prop_map(Value::F32),
        any::<bool>().prop_map(Value::Bool),
        ".{0,30}".prop_map(Value::String),
        array().prop_map(Value::Array),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_map(Value::F64),
    ]
}

/// GGUF files.
pub(crate) fn gguf() -> impl Strategy<Value = Valid> {
    let alignment = prop_oneof![Just(None), select(&[1u32, 4, 32, 64, 256][..]).prop_map(Some)];
    (btree_map("[a-zü._]{0,20}", value(), 0..6), alignment, tensors(&DType::ALL)).prop_map(
        |(mut entries, alignment, tensors)| {
            if let Some(alignment) = alignment {
                entries.insert("general.alignment".to_owned(), alignment.into());
            }
            let metadata = Metadata::from_entries("model.gguf", entries).expect("a map's keys differ");
            let to_write: Vec<gguf::Tensor<'_>> = tensors
                .iter()
                .map(|(name, written)| gguf::Tensor {
                    name,
                    dtype: written.dtype,
                    shape: &written.shape,
                    data: &written.data,
                })
                .collect();
            let bytes = gguf::write(&metadata, &to_write).expect("the tensors are valid");
            Valid { bytes, tensors, metadata: Some(metadata) }
        },
    )
}

/// safetensors files, written by the format's own crate.
pub(crate) fn safetensors() -> impl Strategy<Value = Valid> {
    tensors(&[DType::F32, DType::F16, DType::Bf16]).prop_map(|tensors| {
        let views = tensors.iter().map(|(name, written)| {
            let dtype = match written.dtype {
                DType::F32 => Dtype::F32,
                DType::F16 => Dtype::F16,
                _ => Dtype::BF16,
            };
            let shape = written.shape.iter().map(|&length| length as usize).collect();
            (name, TensorView::new(dtype, shape, &written.data).expect("the tensor is valid"))
        });
        let info = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(views, Some(info)).expect("the tensors are valid");
        Valid { bytes, tensors, metadata: None }
    })
}
