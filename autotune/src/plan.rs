//! Which operations to tune, largest share of a step first.
//!
//! What a user waits for is one answer's next token, then the reading of a prompt, then the tokens of several tabs at once; each of
//! these phases has operations of its own, and is judged by its own end effect. The executor itself says which operations it has.

use tilewright_engine::gpu::TunableExecutor;
use tilewright_engine::gpu::rehearsal::Rehearsal;
use tilewright_engine::gpu::tunable::Operation;
use tilewright_engine::gpu::tuned_op::{HeadsOp, QuantizeOp, TunedOp};

/// Something that a user waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// For people.
    pub name: String,
    /// A step of it.
    pub rehearsal: Rehearsal,
    /// Its part of the time that may be spent.
    pub weight: f64,
    /// What it is made of, largest share first.
    pub operations: Vec<Planned>,
}

/// An operation and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What, and how it is computed.
    pub operation: Operation,
    /// Part of the phase's step, estimated.
    pub share: f64,
}

impl Planned {
    /// How much of a phase's time it gets: a search of half the share needs more than half the time.
    pub(crate) fn weight(&self) -> f64 {
        self.share.sqrt()
    }
}

/// What takes less of a step is not worth a search of some seconds, or any.
pub const LEAST_SHARE: f64 = 0.1;
/// The same where time doesn't matter.
pub const LEAST_SHARE_OF_ALL: f64 = 0.01;

/// Tokens before the one that is decoded: a short conversation.
const CONTEXT: u32 = 480;

/// The phases of a loaded model, with operations of at least such a share; 32 answers at once only if `all` are wanted. An operation belongs to the first that has it.
pub fn phases(executor: &TunableExecutor, least_share: f64, all: bool) -> Vec<Phase> {
    let limits = executor.limits();
    let software = executor.gpu().is_software();
    let decode = |sequences: u32| Rehearsal::Decode { sequences, context: CONTEXT.min(limits.max_context - 1) };
    let mut wanted = vec![
        ("one answer".to_owned(), decode(1), 0.45),
        ("reading a prompt".to_owned(), Rehearsal::Prefill { tokens: limits.max_rows.min(limits.max_context) }, 0.35),
    ];
    let batches: &[u32] = if all && !software { &[8, 32] } else { &[8] };
    for &sequences in batches.iter().filter(|sequences| **sequences <= limits.max_chunks) {
        wanted.push((format!("{sequences} answers at once"), decode(sequences), 0.1));
    }
    let mut phases: Vec<Phase> = Vec::new();
    for (name, rehearsal, weight) in wanted {
        let (rows, outputs) = match rehearsal {
            Rehearsal::Decode { sequences, .. } => (sequences, sequences),
            Rehearsal::Prefill { tokens } => (tokens, 1),
        };
        let known =
            |op: &TunedOp| phases.iter().flat_map(|phase| &phase.operations).any(|known| known.operation.op == *op);
        let own: Vec<Operation> =
            executor.operations(rows, outputs).into_iter().filter(|operation| !known(&operation.op)).collect();
        let cost = |operation: &Operation| cost(operation, software);
        let all: f64 = own.iter().map(cost).sum();
        let share = |operation: &Operation| cost(operation) / all.max(f64::MIN_POSITIVE);
        let mut operations: Vec<Planned> = own
            .into_iter()
            .map(|operation| Planned { operation, share: share(&operation) })
            .filter(|planned| planned.share >= least_share)
            .collect();
        operations.sort_by(|a, b| b.share.total_cmp(&a.share));
        phases.push(Phase { name, rehearsal, weight, operations });
    }
    phases
}

/// Bytes that an operation moves in a step, and multiplications at so many a byte: what it would take on a GPU without overheads.
fn cost(operation: &Operation, software: bool) -> f64 {
    /// Multiplications of integers in the time of a byte.
    const PER_BYTE: f64 = 32.0;
    /// A dispatch costs as much as these bytes.
    const DISPATCH: f64 = 2e6;
    // To a program that pretends to be a GPU everything is arithmetic.
    let (per_byte, dispatch) = if software { (1.0, 0.0) } else { (PER_BYTE, DISPATCH) };
    let work = match operation.op {
        TunedOp::Product(op) => {
            let products = f64::from(op.outputs) * f64::from(op.inputs) * f64::from(op.rows);
            op.weight_bytes() as f64 + products / per_byte
        }
        TunedOp::AttentionSplit(op) | TunedOp::AttentionTile(op) => {
            let HeadsOp { heads, kv_heads, head_dim, rows, .. } = op;
            let keys = f64::from(CONTEXT);
            f64::from(rows) * keys * f64::from(kv_heads * head_dim * 4 + heads * head_dim * 2) / 8.0
        }
        TunedOp::Quantize(QuantizeOp { width, rows, .. }) | TunedOp::RmsNorm { width, rows } => {
            f64::from(width) * f64::from(rows) * 8.0
        }
        TunedOp::SampleScan { vocabulary, rows } => f64::from(vocabulary) * f64::from(rows) * 4.0,
    };
    (work + dispatch) * f64::from(operation.times)
}
