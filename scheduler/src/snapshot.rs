//! The whole state as plain data: for a page that draws it, and for tests that check it.

use crate::clients::Client;
use crate::events::{ClientId, RequestId};
use crate::records::StepRecord;
use crate::scheduler::Scheduler;
use crate::sequence::{Arrival, Sequence};
use serde::{Deserialize, Serialize};
use tilewright_plan::{BlockId, StepId};

/// The scheduler's state at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The executor's epoch.
    pub epoch: u64,
    /// Whether there is an executor.
    pub ready: bool,
    /// KV slots (tokens) per block.
    pub block_size: u32,
    /// By block id.
    pub blocks: Vec<BlockState>,
    /// Requests that hold blocks, in order of arrival.
    pub running: Vec<SequenceSnapshot>,
    /// Requests that wait for blocks, in order of arrival.
    pub waiting: Vec<SequenceSnapshot>,
    /// Steps issued whose output is not used yet.
    pub in_flight: Vec<StepId>,
    /// Those who are there.
    pub clients: Vec<ClientSnapshot>,
    /// The latest steps that are done, oldest first.
    pub steps: Vec<StepRecord>,
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSnapshot {
    /// Who.
    pub client: ClientId,
    /// At least partly on screen.
    pub visible: bool,
    /// Has the keyboard.
    pub focused: bool,
    /// The browser has stopped its scripts.
    pub frozen: bool,
    /// Its virtual token counter: rows computed for it, lifted to the others' when it comes back from a pause.
    pub counter: u64,
}

/// Why a request stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parked {
    /// Its client is frozen.
    Frozen,
    /// Its client has too much unacknowledged.
    Credit,
}

/// What a block is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockState {
    /// Can be had, and holds nothing of use.
    Free,
    /// Can be had, and holds a prefix that a request may share until then.
    Cached,
    /// Will be free when the step is done.
    Fenced(StepId),
    /// Held by so many block tables.
    Referenced(u32),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceSnapshot {
    /// Whose.
    pub client: ClientId,
    /// Which.
    pub request: RequestId,
    /// Known tokens, the prompt's included.
    pub tokens: usize,
    /// The prompt's.
    pub prompt_tokens: usize,
    /// Of the prompt's, those that were there already when it was first admitted.
    pub cached_tokens: usize,
    /// 0 focused, 1 visible, 2 hidden, 3 batch; waiting raises it.
    pub class: u8,
    /// Tokens emitted and not acknowledged.
    pub unacknowledged: usize,
    /// Why it stands still, if it does.
    pub parked: Option<Parked>,
    /// Steps since it last had rows that it could have had some in, and stood back for a better class or for others of its
    /// own client.
    pub skipped_steps: u32,
    /// Tokens that steps in flight will sample.
    pub pending: usize,
    /// Positions computed, or being computed by steps in flight.
    pub computed: usize,
    /// Rows that could be computed now, blocks permitting.
    pub rows_left: usize,
    /// Whether it is past its prompt and gets one row a step.
    pub decodes: bool,
    /// Its blocks.
    pub block_table: Vec<BlockId>,
}

impl Scheduler {
    /// The state at this moment. Costs time in proportion to blocks and requests, and nothing when not called.
    pub fn snapshot(&self) -> Snapshot {
        let block = |id| match (self.pool.references(id), self.pool.fence(id)) {
            (0, Some(step)) => BlockState::Fenced(step),
            (0, None) if self.pool.is_published(id) => BlockState::Cached,
            (0, None) => BlockState::Free,
            (references, _) => BlockState::Referenced(references),
        };
        let sequence = |arrival: &Arrival| self.sequences.get(arrival).map(|sequence| self.describe(sequence));
        Snapshot {
            epoch: self.epoch,
            ready: self.ready,
            block_size: self.capacity.map_or(0, |capacity| capacity.block_size),
            blocks: (0..self.pool.total()).map(|id| block(BlockId(id))).collect(),
            running: self.running.iter().filter_map(sequence).collect(),
            waiting: self.waiting.iter().filter_map(sequence).collect(),
            in_flight: self.in_flight.iter().map(|step| step.step).collect(),
            clients: self.clients.iter().map(|(id, client)| client_snapshot(id, client)).collect(),
            steps: self.records.iter().cloned().collect(),
        }
    }

    /// Blocks in all, and blocks that can be had (free or cached); the rest is referenced or fenced.
    pub fn free_blocks(&self) -> (u32, u32) {
        (self.pool.total(), self.pool.available())
    }

    fn describe(&self, sequence: &Sequence) -> SequenceSnapshot {
        SequenceSnapshot {
            client: sequence.client,
            request: sequence.request,
            tokens: sequence.tokens.len(),
            prompt_tokens: sequence.spec.prompt.len(),
            cached_tokens: sequence.cached,
            class: self.class(sequence).0,
            unacknowledged: sequence.unacknowledged(),
            parked: self.parked(sequence),
            skipped_steps: sequence.skipped,
            pending: sequence.pending.len(),
            computed: sequence.computed,
            rows_left: sequence.rows_left(self.limit),
            decodes: sequence.decodes(self.limit),
            block_table: sequence.table.clone(),
        }
    }
}

fn client_snapshot(client: ClientId, state: &Client) -> ClientSnapshot {
    let Client { visible, focused, frozen, counter } = *state;
    ClientSnapshot { client, visible, focused, frozen, counter }
}
