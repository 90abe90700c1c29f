//! Rotary position embedding: frequencies, their scaling, and the rotations of a position.
//!
//! Pair `i` of a head turns by `position * frequency[i]`, `frequency[i] = theta^(-2i / dims)` (Su et al. 2021). All of this
//! is computed on the CPU in f64: at position 100 000 an f32 angle is off by 0.008 rad, and WGSL promises even less.

use std::f64::consts::PI;

/// The rotary embedding of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base.
    pub theta: f64,
    /// Elements of a head that are rotated; even.
    pub dims: u32,
    /// Whether pair i is (2i, 2i + 1) rather than (i, i + dims / 2).
    pub interleaved: bool,
    /// How the context was stretched.
    pub scaling: RopeScaling,
}

/// How frequencies are changed to stretch a context.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All divided by `factor` (Chen et al. 2023).
    Linear {
        /// How many times longer the context is.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// How many times longer the context is.
        factor: f64,
        /// Wavelengths above `original_context / low_freq_factor` are stretched.
        low_freq_factor: f64,
        /// Wavelengths below `original_context / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context before stretching.
        original_context: f64,
    },
    /// Each divided by its own factor, as GGUF files store any scaling.
    Factors(Vec<f32>),
}

impl Rope {
    /// `[dims / 2]`, in radians per position.
    pub fn frequencies(&self) -> Vec<f64> {
        (0..self.dims / 2)
            .map(|i| {
                let frequency = self.theta.powf(-2.0 * f64::from(i) / f64::from(self.dims));
                match &self.scaling {
                    RopeScaling::None => frequency,
                    RopeScaling::Linear { factor } => frequency / factor,
                    RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                        let turns = original_context * frequency / (2.0 * PI);
                        let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                        frequency * (kept + (1.0 - kept) / factor)
                    }
                    RopeScaling::Factors(factors) => {
                        frequency / factors.get(i as usize).map_or(1.0, |&factor| f64::from(factor))
                    }
                }
            })
            .collect()
    }
}

/// cos and sin of each pair at `position`.
pub fn rotations(frequencies: &[f64], position: u32) -> impl Iterator<Item = [f32; 2]> + '_ {
    frequencies.iter().map(move |frequency| {
        let (sin, cos) = (f64::from(position) * frequency).sin_cos();
        [cos as f32, sin as f32]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama3() -> Rope {
        let scaling =
            RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };
        Rope { theta: 500_000.0, dims: 128, interleaved: false, scaling }
    }

    /// The last frequency of Llama 3.1 8B as `transformers` computes it: 500000^(-126/128) / 8.
    #[test]
    fn llama_3_keeps_high_frequencies_and_divides_low_ones() {
        let scaled = llama3().frequencies();
        let plain = Rope { scaling: RopeScaling::None, ..llama3() }.frequencies();
        assert!((scaled[0] - 1.0).abs() < 1e-12);
        assert!((scaled[63] / plain[63] - 0.125).abs() < 1e-9);
        assert!(scaled.windows(2).all(|pair| pair[0] > pair[1]), "frequencies fall");
        let middle = scaled.iter().zip(&plain).filter(|(s, p)| *s / *p < 0.999 && *s / *p > 0.126).count();
        assert!(middle > 3, "some are on the ramp: {middle}");
    }

    #[test]
    fn a_rotation_at_position_zero_is_the_identity() {
        assert!(rotations(&llama3().frequencies(), 0).all(|rotation| rotation == [1.0, 0.0]));
    }
}
