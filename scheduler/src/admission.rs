//! In, or not, and why: what is accepted into the queue, and what leaves it for a table of blocks.
//!
//! Accepting is immediate and typed. A request that could never be served, or comes when the queue is full, hears so at
//! once; a full queue makes room for a better class by turning the newest of the worst away. Admission shares whatever
//! blocks hold the same beginning and takes the rest, if they leave a margin for those already running. Blocks are all that
//! it needs: where a step has fewer rows than there are requests, they take turns.

use crate::clients::Class;
use crate::commands::{Command, FinishReason, QueueScope, RejectReason};
use crate::events::{ClientId, RequestId, RequestSpec};
use crate::scheduler::Scheduler;
use crate::sequence::{Arrival, Sequence};
use tilewright_plan::{BlockId, Capacity};

impl Scheduler {
    pub(crate) fn submit(
        &mut self,
        client: ClientId,
        request: RequestId,
        spec: RequestSpec,
        commands: &mut Vec<Command>,
    ) {
        match self.admissible(client, request, &spec).and_then(|()| self.place_in_queue(client, &spec)) {
            Ok(None) => {}
            Ok(Some(displaced)) => self.finish(displaced, FinishReason::Displaced, commands),
            Err(reason) => return commands.push(Command::Reject { client, request, reason }),
        }
        if !self.sequences.values().any(|sequence| sequence.client == client) {
            let active = self.sequences.values().map(|sequence| sequence.client);
            self.clients.lift(client, active);
        }
        let arrival = Arrival(self.next_arrival);
        self.next_arrival += 1;
        let sequence = Sequence::new(client, request, spec, self.now);
        let end = sequence.end(self.limit);
        self.names.insert((client, request), arrival);
        self.sequences.insert(arrival, sequence);
        self.waiting.insert(arrival);
        if let Some(reason) = end {
            self.finish(arrival, reason, commands);
        }
    }

    fn admissible(&self, client: ClientId, request: RequestId, spec: &RequestSpec) -> Result<(), RejectReason> {
        if self.names.contains_key(&(client, request)) {
            return Err(RejectReason::DuplicateRequest(request));
        }
        if spec.prompt.is_empty() {
            return Err(RejectReason::EmptyPrompt);
        }
        if spec.prompt.len() >= self.limit {
            let limit = self.limit.saturating_sub(1) as u64;
            return Err(RejectReason::PromptTooLong { tokens: spec.prompt.len() as u64, limit });
        }
        if let Some(capacity) = self.capacity
            && let Some(&token) = spec.prompt.iter().chain(&spec.generated).find(|token| token.0 >= capacity.vocabulary)
        {
            return Err(RejectReason::UnknownToken { token, vocabulary: capacity.vocabulary });
        }
        Ok(())
    }

    /// Whether the queue takes it, and who has to leave for it.
    fn place_in_queue(&self, client: ClientId, spec: &RequestSpec) -> Result<Option<Arrival>, RejectReason> {
        // Preempted requests were let in once: they don't count.
        let waits = |arrival: &Arrival| {
            let sequence = self.sequences.get(arrival).filter(|sequence| !sequence.started)?;
            Some((self.class(sequence), *arrival, sequence.client))
        };
        let fresh: Vec<(Class, Arrival, ClientId)> = self.waiting.iter().filter_map(waits).collect();
        let own = fresh.iter().filter(|(.., owner)| *owner == client).count();
        if own >= self.config.max_waiting_per_client as usize {
            return Err(RejectReason::QueueFull { scope: QueueScope::Client, waiting: own as u64 });
        }
        if fresh.len() < self.config.max_waiting as usize {
            return Ok(None);
        }
        let class = self.clients.class(client, spec.priority);
        match fresh.iter().max() {
            Some(&(worst, newest, _)) if worst > class => Ok(Some(newest)),
            _ => Err(RejectReason::QueueFull { scope: QueueScope::Global, waiting: fresh.len() as u64 }),
        }
    }

    /// Moves waiting requests to the running ones while blocks cover all their tokens and the margin stays.
    pub(crate) fn admit(&mut self, capacity: &Capacity) {
        while let Some(arrival) = self.next_to_admit() {
            // The same head, the same blocks: still no.
            if self.refused == Some((arrival, self.pool.generation())) {
                return;
            }
            if !self.seat(arrival, capacity) {
                self.refused = Some((arrival, self.pool.generation()));
                return;
            }
        }
    }

    /// Gives a waiting request its table, if there is room.
    fn seat(&mut self, arrival: Arrival, capacity: &Capacity) -> bool {
        let Some(sequence) = self.sequences.get(&arrival) else { return false };
        // Its opening names all its tokens, so those sampled before a preemption have to be back.
        if !sequence.pending.is_empty() {
            return false;
        }
        let class = self.class(sequence);
        let size = capacity.block_size as usize;
        let shared = self.shared_prefix(arrival, size);
        let Some(sequence) = self.sequences.get(&arrival) else { return false };
        let needed = (sequence.tokens.len().div_ceil(size) - shared.len()) as u32;
        if !self.make_room(arrival, needed, &shared, class) {
            return false;
        }
        // Nothing that is shared can be evicted once it is held.
        for block in &shared {
            self.pool.share(*block);
        }
        let Some(new) = self.pool.allocate(needed) else {
            self.pool.release(shared.into_iter(), None);
            return false;
        };
        let hits = shared.len();
        self.admissions += 1;
        if let Some(sequence) = self.sequences.get_mut(&arrival) {
            sequence.seat([shared, new].concat(), hits, size);
            sequence.admitted = self.admissions;
        }
        self.waiting.remove(&arrival);
        self.running.insert(arrival);
        true
    }

    /// Sees to it that `needed` blocks are available beside those that are shared and beyond the margin, preempting worse
    /// classes where that is enough. The margin is for those already running, and waived where there are none.
    fn make_room(&mut self, arrival: Arrival, needed: u32, shared: &[BlockId], class: Class) -> bool {
        let margin = (u64::from(self.pool.total()) * u64::from(self.config.watermark_percent)).div_ceil(100) as u32;
        let idle = shared.iter().filter(|block| self.pool.is_idle(**block)).count() as u32;
        let blocks = needed + idle;
        let wanted = blocks.saturating_add(if self.runs_beside(&[]) { margin } else { 0 });
        let (available, fenced) = (self.pool.available(), self.pool.fenced());
        if wanted <= available {
            return true;
        }
        // What is on its way back may be enough.
        if wanted <= available + fenced {
            return false;
        }
        let worse = Class(class.0.saturating_add(1));
        let missing = |wanted: u32| wanted.saturating_sub(available + fenced);
        let victims = self.victims(missing(wanted), worse, Some(arrival), shared).or_else(|| {
            let victims = self.victims(missing(blocks), worse, Some(arrival), shared)?;
            (!self.runs_beside(&victims)).then_some(victims)
        });
        let Some(victims) = victims else { return false };
        for victim in victims {
            self.preempt(victim);
        }
        let idle = shared.iter().filter(|block| self.pool.is_idle(**block)).count() as u32;
        let margin = if self.runs_beside(&[]) { margin } else { 0 };
        self.pool.available() >= (needed + idle).saturating_add(margin)
    }

    /// Whether a request other than these runs and does not stand still.
    fn runs_beside(&self, others: &[Arrival]) -> bool {
        self.seated().any(|(arrival, sequence)| !others.contains(&arrival) && !self.stalls(sequence))
    }

    /// Blocks that hold the beginning of a request's tokens, all but the last token at most: that one is always
    /// computed, as its logits are what is asked for.
    fn shared_prefix(&mut self, arrival: Arrival, block_size: usize) -> Vec<BlockId> {
        let Some(sequence) = self.sequences.get_mut(&arrival) else { return Vec::new() };
        let most = (sequence.tokens.len() - 1) / block_size;
        let mut shared = Vec::new();
        while shared.len() < most {
            let (parent, name, tokens) = sequence.block_name(shared.len(), block_size);
            let Some(block) = self.pool.find(parent, name, tokens) else { break };
            shared.push(block);
        }
        shared
    }

    /// Gives waiting requests the class that they have earned.
    pub(crate) fn raise_the_patient(&mut self) {
        let (now, after) = (self.now, self.config.raise_after.0.max(1));
        for arrival in &self.waiting {
            if let Some(sequence) = self.sequences.get_mut(arrival) {
                let earned = now.since(sequence.waiting_since).0 / after;
                if earned > sequence.raised {
                    sequence.raised = earned;
                    self.refused = None;
                }
            }
        }
    }
}
