//! Twin of `sample_adjust.wgsl`, `sample_mask.wgsl`, the filter (`sample_survey.wgsl`, `sample_sift.wgsl`, `sample_filter.wgsl`), `sample_scan.wgsl` and
//! `sample_pick.wgsl`, and what these are told of a row.
//!
//! The arithmetic is that of [`sampling`](crate::sampling): the twin is its very function. This file holds the record, sixteen
//! words, that says how an output row is sampled, and the entries for biases and penalties. What the CPU can't know, tokens of
//! steps in flight, it names by the places that they will be written to.

use crate::sampling::{Drawn, TokenHistory, sample};
use std::collections::BTreeMap;
use tilewright_plan::{SamplingParams, TokenId};

/// Words of a record.
pub const RECORD_WORDS: usize = 16;

/// Words that `sample_survey` leaves of a part of a row.
pub const SURVEY_WORDS: u32 = 256;

/// Words of what the filter's kernels tell each other of a row.
pub const STATE_WORDS: u32 = 8;

/// Candidates that `sample_sift` has room for, two words each.
pub const LISTED: u32 = 1024;

/// In a record's first word: whether the row has a mask, and from which bit on, the index of that.
const MASKED: u32 = 4;
const MASK_SHIFT: u32 = 3;

/// An output row that is sampled.
#[derive(Clone, Copy, Debug)]
pub struct SampledRow<'a> {
    /// How.
    pub params: &'a SamplingParams,
    /// Tokens of the sequence that the CPU knows.
    pub history: &'a TokenHistory,
    /// Position of the token that is drawn.
    pub position: u32,
    /// Where the token is written.
    pub place: u32,
    /// Where tokens of steps in flight are written, that the history lacks.
    pub pending: &'a [u32],
    /// A bit for each token that may be drawn; all may without.
    pub mask: Option<&'a [u32]>,
}

/// Draws a token from `logits` f32 `[vocabulary]`.
pub fn draw(row: &SampledRow<'_>, logits: &mut [f32]) -> Drawn {
    sample(logits, row.params, row.history, row.mask, row.position)
}

/// The records of a step's output rows.
#[derive(Clone, Debug, Default)]
pub struct SampleRecords {
    /// `[outputs, RECORD_WORDS]`, then the places of pending tokens.
    pub words: Vec<u32>,
    /// Token, bias and occurrences, three words each.
    pub entries: Vec<u32>,
    /// Bits of the tokens that may be drawn, `[rows that have a mask, vocabulary / 32, rounded up]`.
    pub masks: Vec<u32>,
    /// Whether any row is sampled.
    pub any: bool,
    /// Whether any row has biases or penalties.
    pub adjusted: bool,
    /// Whether any row has top-k, top-p or min-p.
    pub filtered: bool,
}

impl SampleRecords {
    /// `rows`: `None` for outputs that are not sampled. Entries are for tokens below `vocabulary`.
    pub fn new(rows: &[Option<SampledRow<'_>>], vocabulary: u32) -> Self {
        let mut records = Self { words: vec![0; rows.len() * RECORD_WORDS], ..Self::default() };
        for (index, row) in rows.iter().enumerate() {
            if let Some(row) = row {
                records.record(index * RECORD_WORDS, row, vocabulary);
            }
        }
        records
    }

    fn record(&mut self, at: usize, row: &SampledRow<'_>, vocabulary: u32) {
        let params = row.params;
        let penalized = params.penalizes();
        let entries_at = self.entries.len() / 3;
        self.push_entries(row, penalized, vocabulary);
        let entries = self.entries.len() / 3 - entries_at;
        let pending_at = self.words.len();
        if penalized {
            self.words.extend_from_slice(row.pending);
        }
        let pending = self.words.len() - pending_at;
        let mask = row.mask.map_or(0, |allowed| {
            let index = self.masks.len() / allowed.len().max(1);
            self.masks.extend_from_slice(allowed);
            MASKED | (index as u32) << MASK_SHIFT
        });
        self.words[at..at + RECORD_WORDS].copy_from_slice(&[
            1 | u32::from(penalized) << 1 | mask,
            row.place,
            row.position,
            params.seed as u32,
            (params.seed >> 32) as u32,
            params.temperature.to_bits(),
            params.top_k,
            params.top_p.to_bits(),
            params.min_p.to_bits(),
            params.repetition_penalty.to_bits(),
            params.frequency_penalty.to_bits(),
            params.presence_penalty.to_bits(),
            entries_at as u32,
            entries as u32,
            pending_at as u32,
            pending as u32,
        ]);
        self.any = true;
        self.adjusted |= entries + pending > 0;
        let filters = (1..vocabulary).contains(&params.top_k) || params.top_p < 1.0 || params.min_p > 0.0;
        self.filtered |= params.temperature > 0.0 && filters;
    }

    fn push_entries(&mut self, row: &SampledRow<'_>, penalized: bool, vocabulary: u32) {
        let mut entries: BTreeMap<TokenId, (f32, u32)> = BTreeMap::new();
        for &(token, bias) in row.params.logit_bias.iter().filter(|(token, _)| token.0 < vocabulary) {
            entries.entry(token).or_default().0 += bias;
        }
        if penalized {
            for (token, count) in row.history.iter() {
                entries.entry(token).or_default().1 = 1 << 31 | count;
            }
        }
        for (token, (bias, occurrences)) in entries {
            self.entries.extend([token.0, bias.to_bits(), occurrences]);
        }
    }
}

/// Whether parameters ask for the history of a sequence.
pub trait Penalizes {
    /// Whether any penalty is on.
    fn penalizes(&self) -> bool;
}

impl Penalizes for SamplingParams {
    fn penalizes(&self) -> bool {
        self.repetition_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0
    }
}
