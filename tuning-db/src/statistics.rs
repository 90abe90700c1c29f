//! What counts among samples: the middle, which a few steps behind somebody else's work don't move.

/// The median; `None` without samples. Samples are finite: records that say otherwise are refused.
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    // Halves before the sum, which could otherwise pass the largest number.
    Some(if sorted.len().is_multiple_of(2) { sorted[middle - 1] / 2.0 + upper / 2.0 } else { upper })
}

/// Median absolute deviation, scaled so that it estimates the standard deviation of a normal distribution.
pub fn spread(samples: &[f64]) -> Option<f64> {
    let middle = median(samples)?;
    let deviations: Vec<f64> = samples.iter().map(|sample| (sample - middle).abs()).collect();
    median(&deviations).map(|deviation| 1.4826 * deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_far_away_changes_neither_median_nor_spread() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0, 1e9]), Some(3.0));
        assert_eq!(spread(&[1.0, 2.0, 3.0, 4.0, 1e9]), Some(1.4826));
        assert_eq!((median(&[]), spread(&[])), (None, None));
    }
}
