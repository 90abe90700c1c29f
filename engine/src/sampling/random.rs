//! A counter-based random generator: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
//!
//! It maps (key, counter) to random words and has no state, so a draw depends on the seed and on where it is made, never on
//! what was computed before or beside it. It needs 32-bit multiplications only, which a GPU has.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words.
pub fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let [a, b] =
            [u64::from(MULTIPLIERS[0]) * u64::from(counter[0]), u64::from(MULTIPLIERS[1]) * u64::from(counter[2])];
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A standard Gumbel variate, -ln(-ln(u)), for one token at one position of a seeded request.
///
/// u is the midpoint of one of 2^23 equal intervals of (0, 1), exact in f32, so the logarithms are finite.
pub fn gumbel(seed: u64, position: u32, token: u32) -> f32 {
    let words = philox([position, token / 4, 0, 0], [seed as u32, (seed >> 32) as u32]);
    let u = ((words[token as usize % 4] >> 9) as f32 + 0.5) / 8_388_608.0;
    -(-u.ln()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' library (Random123, `kat_vectors`).
    #[test]
    fn philox_gives_the_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    /// Mean and variance of the standard Gumbel distribution: Euler's constant and pi^2 / 6.
    #[test]
    fn noise_has_the_moments_of_the_gumbel_distribution() {
        let draws: Vec<f64> = (0..200_000).map(|i| f64::from(gumbel(7, i / 1000, i % 1000))).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!((mean - 0.5772).abs() < 0.01, "{mean}");
        assert!((variance - 1.6449).abs() < 0.03, "{variance}");
        assert!(draws.iter().all(|x| x.is_finite()));
    }
}
