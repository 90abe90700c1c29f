//! Every block format of GGUF against the reference implementation's reading of the same bytes (`fixtures/ggml_blocks.py`).

use safetensors::SafeTensors;
use tilewright_engine::weights::convert::{convert_rows, file_bytes_per_row};
use tilewright_engine::weights::{TensorLayout, WeightFormat};
use tilewright_formats::DType;

const COLS: u32 = 512;

fn values(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let layout = TensorLayout { rows: 2, cols: COLS, format: WeightFormat::of(dtype) };
    let rows = convert_rows(dtype, &layout, bytes);
    let mut values = vec![0.0; 2 * COLS as usize];
    for (row, out) in values.chunks_exact_mut(COLS as usize).enumerate() {
        rows.dequantize(&layout, row as u32, out);
    }
    values
}

#[test]
fn every_block_format_reads_as_the_reference_reads_it() {
    let fixture = include_bytes!("fixtures/ggml_blocks.safetensors");
    let tensors = SafeTensors::deserialize(fixture).unwrap();
    for dtype in DType::ALL.into_iter().filter(|dtype| !dtype.is_dense()) {
        let blocks = tensors.tensor(&format!("{}.blocks", dtype.name())).unwrap();
        let reference = tensors.tensor(&format!("{}.values", dtype.name())).unwrap();
        assert_eq!(blocks.data().len() as u64, 2 * file_bytes_per_row(dtype, COLS).unwrap(), "{dtype:?}");
        // Exact up to one f32 rounding; super-blocks multiply scales out to f16: half a unit in the last place of scale and minimum.
        let product = matches!(dtype, DType::Q4K | DType::Q5K | DType::Q6K);
        let reference = reference.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        let reference: Vec<f32> = reference.collect();
        let largest = reference.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let tolerance = largest * if product { 1.0 / 1024.0 } else { 1e-6 };
        for (index, (value, reference)) in values(dtype, blocks.data()).iter().zip(&reference).enumerate() {
            assert!(
                (value - reference).abs() <= tolerance,
                "{dtype:?} element {index}: {value}, reference {reference}"
            );
        }
    }
}

#[test]
fn dense_rows_of_any_length_come_through_exactly() {
    for cols in [1_u32, 3, 4, 7, 8, 33] {
        let source: Vec<f32> = (0..2 * cols).map(|i| (i as f32 - 3.0) * 0.25).collect();
        for dtype in [DType::F32, DType::F16, DType::Bf16] {
            let bytes: Vec<u8> = match dtype {
                DType::F32 => source.iter().flat_map(|x| x.to_le_bytes()).collect(),
                DType::F16 => source.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect(),
                _ => source.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect(),
            };
            let layout = TensorLayout { rows: 2, cols, format: WeightFormat::of(dtype) };
            let rows = convert_rows(dtype, &layout, &bytes);
            for (row, source) in source.chunks_exact(cols as usize).enumerate() {
                let mut out = vec![0.0; cols as usize];
                rows.dequantize(&layout, row as u32, &mut out);
                assert_eq!(out, source, "{dtype:?}, {cols} columns, row {row}");
            }
        }
    }
}
