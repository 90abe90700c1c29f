//! Several runs of one model, and what is said of them: one object, the same from a terminal and from a browser.
//!
//! Every number of sequences is run once before it counts, which compiles its kernels, and then `repeats` times. Quoted is the
//! run with the median time of a decoded step, whole, so that its figures belong together; the others stand beside it.

use super::{BenchOptions, BenchRun, Sampling, run};
use crate::load::{LoadOptions, MemoryUse, StepCost};
use crate::model::ModelConfig;
use serde::Serialize;
use thiserror::Error;
use tilewright_plan::{Executor, ExecutorError};

/// Tokens of a KV block, as the executors make them.
const BLOCK: u32 = crate::load::capacity::BLOCK_SIZE;
/// Blocks are made for at most so many full contexts.
const CONTEXTS: u32 = 8;
/// Decoded tokens of a run that doesn't count.
const WARM_UP: u32 = 4;

/// Runs of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// Tokens of each prompt.
    pub prompt: u32,
    /// Tokens that each sequence decodes, at least 2.
    pub generate: u32,
    /// Numbers of sequences at once, each a run of its own.
    pub concurrency: Vec<u32>,
    /// How often each is run.
    pub repeats: u32,
    /// Memory for keys and values, in MiB; by default what the runs need.
    pub kv_mib: Option<u64>,
    /// Most rows of a step; by default what suits the device.
    pub max_rows: Option<u32>,
    /// How tokens are drawn.
    pub sampling: Sampling,
}

/// Why a suite can't be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// A count of nothing.
    #[error("{what} is {given}; a benchmark needs {least} at least")]
    TooFew {
        /// Which number.
        what: &'static str,
        /// As given.
        given: u32,
        /// The least.
        least: u32,
    },
    /// What no token can be drawn by.
    #[error("{what} is {given}; it has to be {range}")]
    Sampling {
        /// Which number.
        what: &'static str,
        /// As given.
        given: String,
        /// What it may be.
        range: &'static str,
    },
    /// No run was asked for.
    #[error("concurrency names no run; give a number of sequences at once, or several")]
    NoRuns,
    /// A sequence is longer than the model's context.
    #[error(
        "a prompt of {prompt} tokens and {generate} more don't fit the context of {context} tokens that {model} has"
    )]
    Context {
        /// The model.
        model: String,
        /// Tokens of the prompt.
        prompt: u32,
        /// Tokens to decode.
        generate: u32,
        /// Tokens that the model takes.
        context: u32,
    },
    /// The memory for keys and values is smaller than the runs need.
    #[error(
        "{concurrency} sequences of {length} tokens need {needed} KV blocks; {kv_mib} MiB hold {blocks}: allow more memory for keys \
         and values, or time fewer or shorter sequences"
    )]
    Room {
        /// Sequences at once.
        concurrency: u32,
        /// Tokens of each.
        length: u32,
        /// Blocks that they need.
        needed: u64,
        /// Blocks that there would be.
        blocks: u64,
        /// Memory for them.
        kv_mib: u64,
    },
}

impl Suite {
    /// Whether it can be run at all.
    ///
    /// # Errors
    /// When a number is too small.
    pub fn check(&self) -> Result<(), SuiteError> {
        let least = |what, given, least| {
            if given < least { Err(SuiteError::TooFew { what, given, least }) } else { Ok(()) }
        };
        least("prompt", self.prompt, 1)?;
        // The first token comes with the prompt, so that one alone has no time.
        least("generate", self.generate, 2)?;
        least("repeats", self.repeats, 1)?;
        let Sampling { temperature, top_p, .. } = self.sampling;
        let within = |what, given: f32, most, range| {
            let fits = (0.0..=most).contains(&given);
            if fits { Ok(()) } else { Err(SuiteError::Sampling { what, given: given.to_string(), range }) }
        };
        within("temperature", temperature, f32::MAX, "a number of 0 or more")?;
        within("top-p", top_p, 1.0, "a number from 0 to 1")?;
        self.concurrency.iter().try_for_each(|&given| least("concurrency", given, 1))?;
        if self.concurrency.is_empty() { Err(SuiteError::NoRuns) } else { Ok(()) }
    }

    /// Whether a model takes so long a sequence, and the memory for keys and values so many: before anything is loaded.
    ///
    /// # Errors
    /// When they don't.
    pub fn check_model(&self, model: &str, config: &ModelConfig) -> Result<(), SuiteError> {
        let (prompt, generate, context) = (self.prompt, self.generate, config.context);
        if u64::from(prompt) + u64::from(generate) > u64::from(context) {
            return Err(SuiteError::Context { model: model.to_owned(), prompt, generate, context });
        }
        let (length, concurrency) = (prompt + generate, self.most_at_once());
        let needed = u64::from(length.div_ceil(BLOCK)) * u64::from(concurrency);
        let block_bytes = config.kv_bytes_per_token() * u64::from(BLOCK);
        match self.kv_mib {
            Some(kv_mib) if kv_mib.saturating_mul(1 << 20) / block_bytes < needed => {
                let blocks = kv_mib.saturating_mul(1 << 20) / block_bytes;
                Err(SuiteError::Room { concurrency, length, needed, blocks, kv_mib })
            }
            _ => Ok(()),
        }
    }

    /// Room for the largest run, where a token's keys and values take so many bytes in all layers.
    pub fn load_options(&self, kv_bytes_per_token: u64) -> LoadOptions {
        let length = self.prompt.saturating_add(self.generate);
        let tokens = length.checked_next_multiple_of(BLOCK).unwrap_or(length);
        LoadOptions {
            max_context: Some(tokens.saturating_mul(self.most_at_once().div_ceil(CONTEXTS))),
            kv_bytes: Some(match self.kv_mib {
                Some(mib) => mib.saturating_mul(1 << 20),
                None => self.kv_bytes(kv_bytes_per_token),
            }),
            max_rows: self.max_rows,
            ..LoadOptions::default()
        }
    }

    /// Bytes of keys and values that the largest run needs.
    pub fn kv_bytes(&self, kv_bytes_per_token: u64) -> u64 {
        let length = u64::from(self.prompt) + u64::from(self.generate);
        length
            .next_multiple_of(BLOCK.into())
            .saturating_mul(self.most_at_once().into())
            .saturating_mul(kv_bytes_per_token)
    }

    fn most_at_once(&self) -> u32 {
        self.concurrency.iter().copied().max().unwrap_or(1)
    }

    /// Runs it all. `clock_ms` tells the time, `kernels` what each kernel took since it was last asked, and `progress` is told
    /// what has been run as it goes.
    ///
    /// # Errors
    /// When a step fails, or the executor has no room for so many tokens.
    pub async fn run(
        &self,
        executor: &mut dyn Executor,
        clock_ms: &dyn Fn() -> f64,
        kernels: &dyn Fn() -> Vec<KernelReport>,
        progress: &mut dyn FnMut(&Sample),
    ) -> Result<Vec<RunReport>, ExecutorError> {
        let mut reports = Vec::new();
        let mut step = 0;
        for &concurrency in &self.concurrency {
            let Self { prompt, generate, sampling, .. } = *self;
            let options = BenchOptions { prompt, generate, concurrency, sampling };
            let warm_up = BenchOptions { generate: generate.min(WARM_UP), ..options };
            (_, step) = run(executor, step, warm_up, clock_ms).await?;
            kernels();
            let mut runs: Vec<(BenchRun, Vec<KernelReport>)> = Vec::new();
            for _ in 0..self.repeats {
                let (run, next) = run(executor, step, options, clock_ms).await?;
                step = next;
                progress(&Sample::from(&run));
                runs.push((run, kernels()));
            }
            reports.extend(RunReport::median(runs));
        }
        Ok(reports)
    }
}

/// What a suite says: `tilewright bench --json`, and most of what `runBench` of the playground's bench.html resolves to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// A shape's name, or where the model came from.
    pub model: String,
    /// What computed, for a person to read.
    pub device: String,
    /// Of the program.
    pub version: &'static str,
    /// Tokens of each prompt.
    pub prompt: u32,
    /// Tokens that each sequence decoded.
    pub generate: u32,
    /// How often each run was repeated.
    pub repeats: u32,
    /// How tokens were drawn.
    pub sampling: Sampling,
    /// Weights on the device.
    pub weights_bytes: u64,
    /// Keys and values.
    pub kv_bytes: u64,
    /// Activations and the data of a step.
    pub scratch_bytes: u64,
    /// Bytes of weights that a step reads.
    pub weight_bytes_per_step: u64,
    /// Kernels of a step that decodes one token; 0 on the CPU.
    pub dispatches_per_step: u32,
    /// Steps in flight.
    pub depth: u32,
    /// Most rows of a step.
    pub max_rows: u32,
    /// From the first byte until the executor was there.
    pub load_ms: f64,
    /// One for each number of sequences at once.
    pub runs: Vec<RunReport>,
}

impl Report {
    /// Of a suite on a loaded model, without its runs; `memory` and `cost` are what the model takes.
    pub fn new(
        model: String,
        suite: &Suite,
        executor: &dyn Executor,
        (memory, cost): (MemoryUse, StepCost),
        load_ms: f64,
    ) -> Self {
        let capacity = executor.capacity();
        Self {
            model,
            device: executor.device(),
            version: env!("CARGO_PKG_VERSION"),
            prompt: suite.prompt,
            generate: suite.generate,
            repeats: suite.repeats,
            sampling: suite.sampling,
            weights_bytes: memory.weights_bytes,
            kv_bytes: memory.kv_bytes,
            scratch_bytes: memory.scratch_bytes,
            weight_bytes_per_step: cost.weight_bytes,
            dispatches_per_step: cost.dispatches,
            depth: capacity.depth,
            max_rows: capacity.max_rows,
            load_ms,
            runs: Vec::new(),
        }
    }
}

/// One number of sequences at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunReport {
    /// The figures of the median run.
    #[serde(flatten)]
    pub median: Sample,
    /// The last ids of its first sequence: runs that should agree can be compared.
    pub last_ids: Vec<u32>,
    /// Its kernels by the time they took, most first; empty unless they were timed.
    pub kernels: Vec<KernelReport>,
    /// All runs, in order.
    pub samples: Vec<Sample>,
}

impl RunReport {
    /// The upper of two middle ones.
    fn median(runs: Vec<(BenchRun, Vec<KernelReport>)>) -> Option<Self> {
        let samples: Vec<Sample> = runs.iter().map(|(run, _)| Sample::from(run)).collect();
        let mut by_step = runs;
        by_step.sort_by(|(a, _), (b, _)| a.decode_step_ms.total_cmp(&b.decode_step_ms));
        let middle = by_step.len() / 2;
        let (run, kernels) = by_step.into_iter().nth(middle)?;
        Some(Self { median: Sample::from(&run), last_ids: run.last_ids, kernels, samples })
    }
}

/// The figures of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Sequences at once.
    pub concurrency: u32,
    /// Tokens of all prompts over the time until the last of them was read.
    pub prefill_tokens_per_s: f64,
    /// Tokens of all sequences over the time after that.
    pub decode_tokens_per_s: f64,
    /// Mean time from one decoded step to the next.
    pub decode_step_ms: f64,
}

impl From<&BenchRun> for Sample {
    fn from(run: &BenchRun) -> Self {
        Self {
            concurrency: run.options.concurrency,
            prefill_tokens_per_s: run.prefill_tokens_per_s,
            decode_tokens_per_s: run.decode_tokens_per_s,
            decode_step_ms: run.decode_step_ms,
        }
    }
}

/// A kernel's share of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelReport {
    /// Its name.
    pub kernel: String,
    /// How often it ran.
    pub dispatches: u64,
    /// All of them together.
    pub total_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Device, load_shape};
    use crate::model::shapes::Shape;
    use std::cell::Cell;

    fn suite(prompt: u32, generate: u32, concurrency: &[u32]) -> Suite {
        let (concurrency, sampling) = (concurrency.to_vec(), Sampling::default());
        Suite { prompt, generate, concurrency, repeats: 3, kv_mib: None, max_rows: None, sampling }
    }

    #[test]
    fn a_suite_that_times_nothing_is_refused_with_the_number_that_is_wrong() {
        assert_eq!(suite(8, 2, &[1]).check(), Ok(()));
        assert_eq!(suite(0, 4, &[1]).check(), Err(SuiteError::TooFew { what: "prompt", given: 0, least: 1 }));
        assert_eq!(suite(8, 1, &[1]).check(), Err(SuiteError::TooFew { what: "generate", given: 1, least: 2 }));
        assert_eq!(suite(8, 4, &[1, 0]).check(), Err(SuiteError::TooFew { what: "concurrency", given: 0, least: 1 }));
        assert_eq!(suite(8, 4, &[]).check(), Err(SuiteError::NoRuns));
        let config = Shape::named("smollm2-135m").unwrap().config();
        let error = suite(8190, 3, &[1]).check_model("smollm2-135m", &config).unwrap_err();
        assert!(error.to_string().contains("8190") && error.to_string().contains("8192"), "{error}");
        assert_eq!(suite(8189, 3, &[1]).check_model("smollm2-135m", &config), Ok(()));
        // 46 080 bytes a token: 4 MiB hold 5 blocks of 16.
        let small = Suite { kv_mib: Some(4), ..suite(256, 4, &[1, 4]) };
        let (concurrency, length, needed, blocks, kv_mib) = (4, 260, 68, 5, 4);
        let room = SuiteError::Room { concurrency, length, needed, blocks, kv_mib };
        assert_eq!(small.check_model("smollm2-135m", &config), Err(room));
        assert_eq!(Suite { kv_mib: Some(48), ..small }.check_model("smollm2-135m", &config), Ok(()));
        assert!(suite(u32::MAX, u32::MAX, &[u32::MAX]).load_options(u64::MAX).kv_bytes == Some(u64::MAX));
    }

    #[test]
    fn the_median_run_is_quoted_whole() {
        let run = |step: f64| {
            let options = BenchOptions { prompt: 8, generate: 4, concurrency: 2, sampling: Sampling::default() };
            let (prefill_tokens_per_s, decode_tokens_per_s) = (100.0 + step, 2e3 / step);
            let last_ids = vec![step as u32];
            (BenchRun { options, prefill_tokens_per_s, decode_tokens_per_s, decode_step_ms: step, last_ids }, vec![])
        };
        let report = RunReport::median(vec![run(3.0), run(9.0), run(4.0)]).unwrap();
        assert_eq!((report.median.decode_step_ms, report.median.prefill_tokens_per_s), (4.0, 104.0));
        assert_eq!(report.last_ids, [4]);
        assert_eq!(report.samples.iter().map(|sample| sample.decode_step_ms).collect::<Vec<_>>(), [3.0, 9.0, 4.0]);
    }

    #[test]
    fn a_suite_has_room_for_exactly_what_it_asked_for_and_its_figures_follow_from_the_clock() {
        let shape = Shape::named("smollm2-135m").unwrap();
        let suite = Suite { repeats: 1, ..suite(3, 3, &[1, 9]) };
        let options = suite.load_options(shape.config().kv_bytes_per_token());
        let device = Device::Cpu;
        let mut loaded = pollster::block_on(load_shape(device, &shape, &options, &mut |_, _| ())).unwrap();
        assert_eq!(loaded.executor.capacity().blocks, 9);
        // Every look at the clock is a second after the one before.
        let seconds = Cell::new(0.0);
        let clock_ms = || seconds.replace(seconds.get() + 1.0) * 1e3;
        let mut told = 0;
        let runs =
            pollster::block_on(suite.run(&mut *loaded.executor, &clock_ms, &Vec::new, &mut |_| told += 1)).unwrap();
        let figures: Vec<_> = runs.iter().map(|run| run.median).collect();
        let sample = |concurrency: u32| Sample {
            concurrency,
            prefill_tokens_per_s: f64::from(3 * concurrency),
            decode_tokens_per_s: f64::from(2 * concurrency),
            decode_step_ms: 500.0,
        };
        assert_eq!(figures, [sample(1), sample(9)]);
        assert_eq!(told, 2);
    }
}
