//! ggml's numbers for element types.
//!
//! The types that can't be read have their names here too, so that an error says "`IQ2_XXS`" and not "type 16".

use crate::DType;

/// The readable type that has this number.
pub(crate) fn dtype(number: u32) -> Option<DType> {
    DType::ALL.into_iter().find(|&dtype| self::number(dtype) == number)
}

/// The number of a readable type.
pub(crate) const fn number(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q5_0 => 6,
        DType::Q5_1 => 7,
        DType::Q8_0 => 8,
        DType::Q4K => 12,
        DType::Q5K => 13,
        DType::Q6K => 14,
        DType::Bf16 => 30,
    }
}

/// What to call a type that can't be read.
pub(crate) fn unreadable_name(number: u32) -> String {
    let name = match number {
        4 => "Q4_2 (removed from ggml)",
        5 => "Q4_3 (removed from ggml)",
        9 => "Q8_1",
        10 => "Q2_K",
        11 => "Q3_K",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4 (removed from ggml)",
        32 => "Q4_0_4_8 (removed from ggml)",
        33 => "Q4_0_8_8 (removed from ggml)",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4 (removed from ggml)",
        37 => "IQ4_NL_4_8 (removed from ggml)",
        38 => "IQ4_NL_8_8 (removed from ggml)",
        39 => "MXFP4",
        40 => "NVFP4",
        41 => "Q1_0",
        _ => return format!("number {number} (unknown)"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{dtype, number, unreadable_name};
    use crate::DType;

    #[test]
    fn every_number_up_to_41_is_either_readable_or_has_a_name() {
        for readable in DType::ALL {
            assert_eq!(dtype(number(readable)), Some(readable));
        }
        let readable = (0..=41).filter(|&number| dtype(number).is_some()).count();
        let named = (0..=41).filter(|&number| !unreadable_name(number).contains("unknown")).count();
        assert_eq!((readable, named), (11, 31));
    }
}
