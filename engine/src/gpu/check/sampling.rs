//! The sampler on the device against the sampler on the CPU.

use super::rig::{Random, Rig, bytes};
use crate::gpu::GpuError;
use crate::gpu::dispatch::Counts;
use crate::gpu::pipelines::Access;
use crate::graph::{KeySplit, StepData};
use crate::kernels::KernelVariant;
use crate::kernels::sample::{SampleRecords, SampledRow, draw};
use crate::kernels::source::KernelShape;
use crate::kernels::variant::SEGMENT;
use crate::sampling::TokenHistory;
use tilewright_plan::{SamplingParams, TokenId};

/// Rows of logits that are sampled on the device.
pub(in crate::gpu) struct Sampled<'a> {
    rows: &'a [SampledRow<'a>],
    /// `[rows, stride]`
    logits: Vec<f32>,
    entries: Vec<u32>,
    vocabulary: u32,
    given: [(u32, Access, Vec<u8>); 2],
    shape: KernelShape,
    software: bool,
}

impl<'a> Sampled<'a> {
    /// Logits `[rows, vocabulary]`; `software` takes the variants for devices that are programs.
    pub(in crate::gpu) fn new(logits: &[f32], vocabulary: u32, rows: &'a [SampledRow<'a>], software: bool) -> Self {
        let stride = vocabulary.next_multiple_of(8);
        let padding = (stride - vocabulary) as usize;
        let padded = logits
            .chunks_exact(vocabulary as usize)
            .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, padding)));
        let records = SampleRecords::new(&rows.iter().copied().map(Some).collect::<Vec<_>>(), vocabulary);
        let step = StepData { output_rows: vec![0; rows.len()], ..StepData::default() };
        let mut words = Vec::new();
        let header = step.pack(&[], &records.words, KeySplit { tile: 1, most_parts: 1 }, 0, &mut words);
        Self {
            rows,
            logits: padded.collect(),
            entries: [records.entries, vec![0; 3]].concat(),
            vocabulary,
            given: [(0, Access::Uniform, bytes(&[header])), (1, Access::Read, bytes(&words))],
            shape: KernelShape::Logits { vocabulary, stride },
            software,
        }
    }

    async fn run(
        &self,
        rig: &mut Rig,
        variant: KernelVariant,
        bindings: &[(u32, Access, Vec<u8>)],
    ) -> Result<Vec<Vec<f32>>, GpuError> {
        let counts = Counts { rows: self.rows.len() as u32, ..Counts::default() };
        rig.run_counted(&variant, &self.shape, &counts, &[&self.given[..], bindings].concat()).await
    }

    fn zeros(&self, words_per_row: u32) -> Vec<u8> {
        bytes(&vec![0_u32; words_per_row as usize * self.rows.len()])
    }

    /// The least candidate of each row: the order of its logit, and its id from the other end.
    pub(in crate::gpu) async fn least(&self, rig: &mut Rig, logits: &[f32]) -> Result<Vec<[u32; 2]>, GpuError> {
        let [_, survey, filter, ..] = variants(self.software);
        let KernelVariant::SampleFilter { capacity, .. } = filter else { return Ok(Vec::new()) };
        let stretches = self.zeros(2 * self.vocabulary.div_ceil(SEGMENT));
        let surveyed = [(2, Access::Read, bytes(logits)), (3, Access::ReadWrite, stretches)];
        let segments = self.run(rig, survey, &surveyed).await?.swap_remove(0);
        let filtered = [
            (2, Access::Read, bytes(logits)),
            (3, Access::Read, bytes(&segments)),
            (4, Access::ReadWrite, self.zeros(2 * capacity)),
            (5, Access::ReadWrite, self.zeros(2)),
        ];
        let least = self.run(rig, filter, &filtered).await?.swap_remove(1);
        Ok(least.chunks_exact(2).map(|least| [least[0].to_bits(), least[1].to_bits()]).collect())
    }

    /// Draws a token for each row; `None` where logits are not finite. `sampled`: tokens of steps in flight, by place.
    pub(in crate::gpu) async fn draw(&self, rig: &mut Rig, sampled: &[u32]) -> Result<Vec<Option<u32>>, GpuError> {
        let [adjust, _, _, scan, pick] = variants(self.software);
        let KernelVariant::SampleScan { chunks, .. } = scan else { return Ok(Vec::new()) };
        let adjusted = [
            (2, Access::ReadWrite, bytes(&self.logits)),
            (3, Access::Read, bytes(&self.entries)),
            (4, Access::Read, bytes(sampled)),
        ];
        let adjusted = self.run(rig, adjust, &adjusted).await?.swap_remove(0);
        let least = self.least(rig, &adjusted).await?;
        let scanned = [
            (2, Access::Read, bytes(&adjusted)),
            (3, Access::Read, bytes(&least)),
            (4, Access::ReadWrite, self.zeros(4 * chunks)),
        ];
        let best = self.run(rig, scan, &scanned).await?.swap_remove(0);
        let picked = [(2, Access::Read, bytes(&best)), (3, Access::ReadWrite, self.zeros(2))];
        let tokens = self.run(rig, pick, &picked).await?.swap_remove(0);
        let place = |row: &SampledRow<'_>| &tokens[2 * row.place as usize..][..2];
        Ok(self.rows.iter().map(|row| (place(row)[1].to_bits() == 1).then(|| place(row)[0].to_bits())).collect())
    }
}

/// The sampler's kernels, in the order in which they run.
fn variants(software: bool) -> [KernelVariant; 5] {
    // So few are listed that rows of both kinds come about: those whose candidates fit, and those that are searched whole.
    let (workgroup, chunks, filter, capacity) = if software { (4, 2, 16, 64) } else { (64, 8, 128, 512) };
    [
        KernelVariant::SampleAdjust { workgroup: 32 },
        KernelVariant::SampleSurvey { workgroup: filter.min(64) },
        KernelVariant::SampleFilter { workgroup: filter, capacity },
        KernelVariant::SampleScan { workgroup, chunks },
        KernelVariant::SamplePick { workgroup: chunks, chunks },
    ]
}

/// Parameters of every kind, greedy ones too.
fn some_params(random: &mut Random, index: u32) -> SamplingParams {
    let mut params = SamplingParams { seed: u64::from(random.word()) << 20, ..SamplingParams::default() };
    if !index.is_multiple_of(4) {
        params.temperature = 0.3 + random.float().abs();
    }
    if index.is_multiple_of(3) {
        params.top_k = 1 + random.below(60);
    }
    if index % 5 < 2 {
        params.top_p = 0.99 - 0.4 * random.float().abs();
    }
    if index.is_multiple_of(7) {
        params.min_p = 0.1 * random.float().abs();
    }
    if index.is_multiple_of(2) {
        params.repetition_penalty = 1.2;
        params.frequency_penalty = 0.25;
        params.presence_penalty = 0.5;
    }
    if index.is_multiple_of(6) {
        params.logit_bias = vec![(TokenId(3), 4.0), (TokenId(1), -2.0), (TokenId(9_999_999), 1.0)];
    }
    params
}

/// The device draws the tokens that the CPU draws.
pub(super) async fn draws(rig: &mut Rig, thorough: bool) -> Result<(), GpuError> {
    let mut random = Random(8000);
    let all = [(1003, false), (1003, true), (7, false), (4096, false)];
    // Every kind of parameters comes among the first twenty.
    let (some, count) = if thorough { (all.len(), 60) } else { (2, 20) };
    for (vocabulary, software) in all.into_iter().take(some) {
        let logits: Vec<f32> = (0..count * vocabulary).map(|_| 6.0 * random.float()).collect();
        let params: Vec<SamplingParams> = (0..count).map(|index| some_params(&mut random, index)).collect();
        // What the CPU knows of each sequence, and the two tokens in flight that it doesn't.
        let known: Vec<Vec<TokenId>> =
            (0..count).map(|_| (0..30).map(|_| TokenId(random.below(vocabulary))).collect()).collect();
        let in_flight: Vec<[u32; 2]> = (0..count)
            .map(|index| {
                let [a, b] = [random.below(vocabulary), known[index as usize][3].0];
                if index.is_multiple_of(9) { [a, a] } else { [a, b] }
            })
            .collect();
        let sampled: Vec<u32> = in_flight.iter().flatten().flat_map(|&token| [token, 1]).collect();
        let places: Vec<[u32; 2]> = (0..count).map(|index| [2 * index, 2 * index + 1]).collect();
        let histories: Vec<TokenHistory> = known.iter().map(|tokens| TokenHistory::new(tokens, 20)).collect();
        let row = |index: usize| SampledRow {
            params: &params[index],
            history: &histories[index],
            position: 100 + index as u32,
            place: index as u32,
            pending: &places[index],
        };
        let rows: Vec<_> = (0..count as usize).map(row).collect();
        let drawn = Sampled::new(&logits, vocabulary, &rows, software).draw(rig, &sampled).await?;
        let mut differing = 0.0;
        for (index, drawn) in drawn.iter().enumerate() {
            let mut history = histories[index].clone();
            in_flight[index].iter().for_each(|&token| history.push(TokenId(token)));
            let mut logits = logits[index * vocabulary as usize..][..vocabulary as usize].to_vec();
            let expected = draw(&SampledRow { history: &history, ..rows[index] }, &mut logits).token.0;
            if *drawn != Some(expected) {
                differing += 1.0;
            }
        }
        // Two candidates may be too close to call for two ways to take a logarithm.
        for variant in variants(software) {
            rig.note(&variant, &format!("tokens that differ, {count} of {vocabulary}"), differing, 1.0);
        }
    }
    Ok(())
}
