//! The sampler on the device against the sampler on the CPU.

use super::rig::{Random, Rig, bytes};
use crate::gpu::GpuError;
use crate::gpu::dispatch::Counts;
use crate::gpu::pipelines::Access;
use crate::graph::{KeySplit, StepData};
use crate::kernels::KernelVariant;
use crate::kernels::sample::{LISTED, STATE_WORDS, SURVEY_WORDS, SampleRecords, SampledRow, draw};
use crate::kernels::source::KernelShape;
use crate::sampling::TokenHistory;
use tilewright_plan::{SamplingParams, TokenId};

/// Which sizes the sampler's kernels have.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) enum Sizes {
    /// Those that executors take on a GPU.
    Gpu,
    /// Those that executors take in software.
    Software,
    /// Others, where there may be others.
    Odd,
}

/// What the device made of rows of logits.
pub(in crate::gpu) struct Draws {
    /// Of each row; `None` where logits are not finite.
    pub(in crate::gpu) tokens: Vec<Option<u32>>,
    /// Of each row, what its filters leave: order of the least logit, and its id counted down.
    #[cfg(test)]
    pub(in crate::gpu) least: Vec<[u32; 2]>,
}

/// Draws a token for each row of logits `[rows, vocabulary]`.
pub(in crate::gpu) async fn draw_all(
    rig: &mut Rig,
    logits: &[f32],
    vocabulary: u32,
    rows: &[SampledRow<'_>],
    sampled: &[u32],
    sizes: Sizes,
) -> Result<Draws, GpuError> {
    let stride = vocabulary.next_multiple_of(8);
    let padded: Vec<f32> = logits
        .chunks_exact(vocabulary as usize)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, (stride - vocabulary) as usize)))
        .collect();
    let records = SampleRecords::new(&rows.iter().copied().map(Some).collect::<Vec<_>>(), vocabulary);
    let step = StepData { output_rows: vec![0; rows.len()], ..StepData::default() };
    let mut words = Vec::new();
    let split = KeySplit { tile: 1, most_parts: 1, most_of_row: 1 };
    let header = step.pack(&[], &records.words, split, 0, &mut words);
    let given = [(0, Access::Uniform, bytes(&[header])), (1, Access::Read, bytes(&words))];
    let shape = KernelShape::Logits { vocabulary, stride };
    let counts = Counts { rows: rows.len() as u32, ..Counts::default() };
    let mut run = async |variant: KernelVariant, bindings: &[(u32, Access, Vec<u8>)]| {
        let bindings = [&given[..], bindings].concat();
        rig.run_counted(&variant, &shape, &counts, &bindings).await
    };
    let [adjust, mask, survey, sift, filter, scan, pick] = variants(sizes);
    let (KernelVariant::SampleScan { chunks, .. }, KernelVariant::SampleSurvey { groups, .. }) = (scan, survey) else {
        return Ok(Draws {
            tokens: Vec::new(),
            #[cfg(test)]
            least: Vec::new(),
        });
    };
    let zeros = |words: u32| bytes(&vec![0_u32; words as usize * rows.len()]);
    let mut entries = records.entries.clone();
    entries.extend([0; 3]);
    let adjusted = run(
        adjust,
        &[
            (2, Access::ReadWrite, bytes(&padded)),
            (3, Access::Read, bytes(&entries)),
            (4, Access::Read, bytes(sampled)),
        ],
    )
    .await?;
    let masks = [&records.masks[..], &[0]].concat();
    let masked = run(mask, &[(2, Access::ReadWrite, bytes(&adjusted[0])), (3, Access::Read, bytes(&masks))]).await?;
    let adjusted = bytes(&masked[0]);
    let surveyed = run(
        survey,
        &[
            (2, Access::Read, adjusted.clone()),
            (3, Access::ReadWrite, zeros(groups * SURVEY_WORDS)),
            (4, Access::ReadWrite, zeros(STATE_WORDS)),
        ],
    )
    .await?;
    let sifted = run(
        sift,
        &[
            (2, Access::Read, adjusted.clone()),
            (3, Access::Read, bytes(&surveyed[0])),
            (4, Access::ReadWrite, bytes(&surveyed[1])),
            (5, Access::ReadWrite, zeros(2 * LISTED)),
        ],
    )
    .await?;
    let least = run(
        filter,
        &[
            (2, Access::Read, adjusted.clone()),
            (3, Access::Read, bytes(&sifted[0])),
            (4, Access::Read, bytes(&sifted[1])),
            (5, Access::ReadWrite, zeros(2)),
        ],
    )
    .await?;
    let best = run(
        scan,
        &[(2, Access::Read, adjusted), (3, Access::Read, bytes(&least[0])), (4, Access::ReadWrite, zeros(4 * chunks))],
    )
    .await?;
    let tokens = run(pick, &[(2, Access::Read, bytes(&best[0])), (3, Access::ReadWrite, zeros(2))]).await?;
    let tokens = &tokens[0];
    let place = |row: &SampledRow<'_>| &tokens[2 * row.place as usize..][..2];
    Ok(Draws {
        tokens: rows.iter().map(|row| (place(row)[1].to_bits() == 1).then(|| place(row)[0].to_bits())).collect(),
        #[cfg(test)]
        least: least[0].as_chunks().0.iter().map(|pair: &[f32; 2]| pair.map(f32::to_bits)).collect(),
    })
}

/// The sampler's kernels, in the order in which they run.
fn variants(sizes: Sizes) -> [KernelVariant; 7] {
    let software = matches!(sizes, Sizes::Software);
    let [survey, sift, filter] = KernelVariant::filter(software);
    let (adjust, mask, scan) = match sizes {
        Sizes::Odd => (
            KernelVariant::SampleAdjust { workgroup: 32 },
            KernelVariant::SampleMask { workgroup: 8 },
            KernelVariant::SampleScan { workgroup: 64, chunks: 8 },
        ),
        _ => (
            KernelVariant::default_adjust(software),
            KernelVariant::default_mask(software),
            KernelVariant::default_scan(software),
        ),
    };
    [adjust, mask, survey, sift, filter, scan, scan.pick()]
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

/// Masks that allow half of the tokens or few of them, for some rows.
fn some_mask(random: &mut Random, index: u32, vocabulary: u32) -> Option<Vec<u32>> {
    let words = vocabulary.div_ceil(32) as usize;
    match index % 5 {
        1 => Some((0..words).map(|_| random.word()).chain([u32::MAX]).skip(1).collect()),
        3 => {
            let mut few = vec![0; words];
            for _ in 0..3 {
                let token = random.below(vocabulary);
                few[token as usize / 32] |= 1 << (token % 32);
            }
            Some(few)
        }
        _ => None,
    }
}

/// The device draws the tokens that the CPU draws.
pub(super) async fn draws(rig: &mut Rig, thorough: bool) -> Result<(), GpuError> {
    let mut random = Random(8000);
    let all = [(1003, Sizes::Gpu), (1003, Sizes::Software), (7, Sizes::Gpu), (4096, Sizes::Odd)];
    // Every kind of parameters comes among the first twenty.
    let (some, count) = if thorough { (all.len(), 60) } else { (2, 20) };
    for (vocabulary, sizes) in all.into_iter().take(some) {
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
        let masks: Vec<Option<Vec<u32>>> = (0..count).map(|index| some_mask(&mut random, index, vocabulary)).collect();
        let row = |index: usize| SampledRow {
            params: &params[index],
            history: &histories[index],
            position: 100 + index as u32,
            place: index as u32,
            pending: &places[index],
            mask: masks[index].as_deref(),
        };
        let rows: Vec<_> = (0..count as usize).map(row).collect();
        let drawn = draw_all(rig, &logits, vocabulary, &rows, &sampled, sizes).await?.tokens;
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
        for variant in variants(sizes) {
            rig.note(&variant, &format!("tokens that differ, {count} of {vocabulary}"), differing, 1.0);
        }
    }
    Ok(())
}
