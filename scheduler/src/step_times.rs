//! How long a step will take, learnt from those that were measured, and how many prompt rows fit into one.
//!
//! A step shares the GPU with the page that shows its answer: a long one stutters, and one of two seconds is killed by the
//! watchdog. So the budget of a step is time, and prompt rows fill what the model predicts to be left of it.
//!
//! The model is `elapsed = base + decode * (rows that decode) + prefill * (rows of prompts)`, fitted by least squares whose
//! old samples fade. A small ridge settles what the samples leave open, in favour of the base: that is optimistic, and the
//! next steps say whether it was right. The first step of each kind (with prompt rows, without) counts for nothing, as it
//! waits for its kernels to be compiled, which took 20 times the step itself; and no sample counts for more than a few
//! times what was predicted, so that one hiccup is not believed and a device that really became slow is, after some steps.
//!
//! Beside the fit stands a cap that no prediction overrules: it starts low, grows
//! while steps of that size stay within the budget, and halves when one does not.

use crate::events::Micros;

/// How much of a sample is left after one more.
const MEMORY: f64 = 0.8;
/// Rows are counted in these, so that the ridge weighs the three coefficients alike.
const DECODE_UNIT: f64 = 8.0;
const PREFILL_UNIT: f64 = 64.0;
const RIDGE: f64 = 1e-4;
/// Chunks aim at this share of the budget, as half of all samples are above a mean.
const AIM: f64 = 0.8;
/// Growth of the cap per step that used it: until the first overrun, and after.
const FIRST_GROWTH: f64 = 4.0;
const GROWTH: f64 = 1.5;
/// A sample counts for at most so many times what was predicted.
const DISBELIEF: f64 = 3.0;

/// Milliseconds that a step may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Budget {
    /// What the step should stay under.
    pub(crate) target: f64,
    /// What it must stay under, where the fixed cost of a step alone takes most of the target.
    pub(crate) most: f64,
}

/// The model of step times.
#[derive(Clone, Debug)]
pub(crate) struct StepTimes {
    /// Faded sums of `x * x'` and `x * elapsed`, x = (1, decode rows, prefill rows) in units.
    moments: [[f64; 3]; 3],
    products: [f64; 3],
    /// Base, per decode row, per prefill row, in milliseconds.
    fitted: [f64; 3],
    cap: f64,
    first_cap: f64,
    overrun: bool,
    /// Kinds of steps that were seen: without prompt rows, with.
    seen: [bool; 2],
}

impl StepTimes {
    /// Nothing is known yet: prompts begin with chunks of `first_rows`.
    pub(crate) fn new(first_rows: u32) -> Self {
        let cap = f64::from(first_rows.max(1));
        Self {
            moments: Default::default(),
            products: Default::default(),
            fitted: Default::default(),
            cap,
            first_cap: cap,
            overrun: false,
            seen: [false; 2],
        }
    }

    /// A step of so many rows took so long; `within` is the budget that it had.
    pub(crate) fn observe(&mut self, decode: usize, prefill: usize, elapsed: Micros, within: f64) {
        if !std::mem::replace(&mut self.seen[usize::from(prefill > 0)], true) {
            return;
        }
        let elapsed = elapsed.0 as f64 / 1e3;
        let predicted = self.predict(decode, prefill);
        let believed = if predicted > 0.0 { elapsed.min(DISBELIEF * predicted) } else { elapsed };
        let x = [1.0, decode as f64 / DECODE_UNIT, prefill as f64 / PREFILL_UNIT];
        for (row, x_row) in x.iter().enumerate() {
            for (moment, x_column) in self.moments[row].iter_mut().zip(&x) {
                *moment = *moment * MEMORY + x_row * x_column;
            }
            self.products[row] = self.products[row] * MEMORY + x_row * believed;
        }
        let [base, per_decode, per_prefill] = solve(&self.moments, &self.products);
        self.fitted = [base.max(0.0), per_decode.max(0.0) / DECODE_UNIT, per_prefill.max(0.0) / PREFILL_UNIT];
        if prefill == 0 {
            return;
        }
        if elapsed > within {
            self.overrun = true;
            self.cap = (prefill as f64 / 2.0).max(1.0);
        } else if prefill as f64 >= self.cap / 2.0 {
            let growth = if self.overrun { GROWTH } else { FIRST_GROWTH };
            self.cap = (self.cap * growth).max(self.cap + 1.0).min(f64::from(u32::MAX));
        }
    }

    /// Another executor has other times.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.first_cap as u32);
    }

    /// Milliseconds that a step of these rows is predicted to take.
    pub(crate) fn predict(&self, decode: usize, prefill: usize) -> f64 {
        let [base, per_decode, per_prefill] = self.fitted;
        base + per_decode * decode as f64 + per_prefill * prefill as f64
    }

    /// Milliseconds that one more row of each kind is predicted to add.
    pub(crate) fn per_row(&self) -> (f64, f64) {
        (self.fitted[1], self.fitted[2])
    }

    /// Prompt rows that fit beside so many decode rows, at least 1, and the time that the step then may take.
    pub(crate) fn prefill_rows(&self, decode: usize, budget: Budget) -> (usize, f64) {
        let fixed = self.predict(decode, 0);
        // At most half of a step should be what it costs anyway, or a prompt on a slow device never ends.
        let target =
            if fixed > budget.target * AIM / 2.0 { (2.0 * fixed / AIM).max(budget.target) } else { budget.target };
        let target = target.min(budget.most);
        let (_, per_row) = self.per_row();
        let fits = if per_row > 0.0 { (target * AIM - fixed) / per_row } else { f64::INFINITY };
        (fits.min(self.cap).max(1.0) as usize, target)
    }
}

/// Least squares with a ridge, by elimination: `(moments + ridge) c = products`.
fn solve(moments: &[[f64; 3]; 3], products: &[f64; 3]) -> [f64; 3] {
    let mut a = *moments;
    let mut b = *products;
    let ridge = RIDGE * a[0][0];
    for (index, row) in a.iter_mut().enumerate() {
        row[index] += ridge;
    }
    for pivot in 0..3 {
        // The matrix is positive definite, so no pivot is zero and none need be chosen.
        for row in pivot + 1..3 {
            let factor = a[row][pivot] / a[pivot][pivot];
            let above = a[pivot];
            for (entry, above) in a[row].iter_mut().zip(above).skip(pivot) {
                *entry -= factor * above;
            }
            b[row] -= factor * b[pivot];
        }
    }
    let mut c = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| a[row][column] * c[column]).sum();
        c[row] = (b[row] - known) / a[row][row];
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget { target: 150.0, most: 500.0 };

    /// A device with these milliseconds per step, decode row and prompt row.
    fn device([base, decode, prefill]: [f64; 3]) -> impl Fn(usize, usize) -> Micros {
        move |decode_rows, rows| Micros(((base + decode * decode_rows as f64 + prefill * rows as f64) * 1e3) as u64)
    }

    #[test]
    fn an_exact_device_is_learnt_exactly() {
        let run = device([3.0, 0.2, 0.05]);
        let mut times = StepTimes::new(32);
        for (decode, prefill) in
            [(0, 32), (1, 0), (0, 32), (4, 0), (4, 64), (8, 0), (2, 100), (16, 0), (1, 64), (3, 30)]
        {
            times.observe(decode, prefill, run(decode, prefill), 150.0);
        }
        for (decode, prefill) in [(1, 0), (8, 0), (1, 256), (20, 100)] {
            let truth = run(decode, prefill).0 as f64 / 1e3;
            assert!((times.predict(decode, prefill) - truth).abs() < 0.05 * truth, "{decode} and {prefill}");
        }
    }

    #[test]
    fn chunks_grow_fast_at_first_and_steps_stay_within_the_budget_after_the_first_few() {
        for coefficients in [[2.0, 0.1, 0.02], [10.0, 1.0, 0.4], [30.0, 20.0, 25.0], [100.0, 5.0, 1.0]] {
            let run = device(coefficients);
            let mut times = StepTimes::new(32);
            let mut lengths = Vec::new();
            for _ in 0..30 {
                let (rows, within) = times.prefill_rows(1, BUDGET);
                let elapsed = run(1, rows);
                times.observe(1, rows, elapsed, within);
                lengths.push((rows, elapsed.0 as f64 / 1e3));
            }
            let late = &lengths[5..];
            let longest = late.iter().map(|(_, ms)| *ms).fold(0.0, f64::max);
            let allowed = (2.0 * run(1, 0).0 as f64 / 1e3 / AIM).clamp(BUDGET.target, BUDGET.most);
            assert!(longest <= allowed, "{coefficients:?}: {lengths:?}");
            let used = late.last().unwrap().1 >= 0.6 * BUDGET.target;
            assert!(used, "{coefficients:?} leaves most of the budget unused: {lengths:?}");
        }
    }

    #[test]
    fn compiling_kernels_in_the_first_step_and_a_hiccup_later_spoil_nothing() {
        let run = device([10.0, 1.0, 0.4]);
        let mut times = StepTimes::new(32);
        times.observe(0, 32, Micros(13_000_000), 150.0);
        times.observe(1, 0, Micros(4_000_000), 150.0);
        for _ in 0..8 {
            let (rows, within) = times.prefill_rows(1, BUDGET);
            times.observe(1, rows, run(1, rows), within);
        }
        let (before, within) = times.prefill_rows(1, BUDGET);
        assert!(before > 150, "{before} rows fit");
        times.observe(1, before, Micros(2_000_000), within);
        for _ in 0..6 {
            let (rows, within) = times.prefill_rows(1, BUDGET);
            times.observe(1, rows, run(1, rows), within);
        }
        assert!(times.prefill_rows(1, BUDGET).0 > before / 2);
    }

    #[test]
    fn a_device_that_really_became_slow_is_believed_after_some_steps() {
        let (fast, slow) = (device([10.0, 1.0, 0.4]), device([100.0, 10.0, 4.0]));
        let mut times = StepTimes::new(32);
        let mut lengths = Vec::new();
        for step in 0..40 {
            let (rows, within) = times.prefill_rows(1, BUDGET);
            let elapsed = if step < 10 { fast(1, rows) } else { slow(1, rows) };
            times.observe(1, rows, elapsed, within);
            lengths.push(elapsed.0 / 1000);
        }
        assert!(lengths[25..].iter().all(|ms| *ms <= 500), "{lengths:?}");
    }

    #[test]
    fn an_overrun_halves_the_chunk_whatever_the_fit_says() {
        let mut times = StepTimes::new(32);
        for _ in 0..10 {
            let (rows, within) = times.prefill_rows(1, BUDGET);
            times.observe(1, rows.min(1000), Micros(5_000), within);
        }
        assert!(times.prefill_rows(1, BUDGET).0 > 1000);
        times.observe(1, 1000, Micros(400_000), 150.0);
        assert!(times.prefill_rows(1, BUDGET).0 <= 500);
    }

    #[test]
    fn a_device_too_slow_for_any_budget_still_gets_a_row() {
        let mut times = StepTimes::new(32);
        for rows in [32, 32, 16, 8, 4] {
            times.observe(1, rows, Micros(2_000_000 * rows as u64), 150.0);
        }
        assert_eq!(times.prefill_rows(3, BUDGET).0, 1);
        times.forget();
        assert_eq!(times.prefill_rows(3, BUDGET).0, 32);
    }
}
