//! What must hold after every event, whatever happened (the numbers are those of the design). The rules of a plan (I6, I7,
//! I8) are checked by the fake model as well, and what requests say (I21) by whoever drives the rig.

use super::Rig;
use std::collections::{BTreeMap, BTreeSet};
use tilewright_plan::StepPlan;
use tilewright_scheduler::{BlockState, Command, Event, SequenceSnapshot, Snapshot};

type Name = (tilewright_scheduler::ClientId, tilewright_scheduler::RequestId);

fn name(sequence: &SequenceSnapshot) -> Name {
    (sequence.client, sequence.request)
}

pub fn check(rig: &Rig, before: &Snapshot, after: &Snapshot, event: &Event, commands: &[Command]) {
    blocks(rig, after);
    sequences(rig, after);
    busy(rig, after, event);
    preemptions(before, after, event);
    focused_first(rig, before, after, event, commands);
    if let Event::ClientGone { client } = event {
        let gone = after.running.iter().chain(&after.waiting).all(|sequence| sequence.client != *client);
        assert!(gone, "I16: requests of a client that is gone: {after:#?}");
    }
}

/// I1 and I2: every block is in one state, and is referenced exactly as often as it stands in tables. I3: only full blocks
/// are shared. Fences name steps in flight.
fn blocks(rig: &Rig, snapshot: &Snapshot) {
    let Snapshot { blocks, running, waiting, in_flight, .. } = snapshot;
    let idle = blocks.iter().filter(|block| matches!(block, BlockState::Free | BlockState::Cached)).count();
    assert_eq!(rig.scheduler.free_blocks(), (blocks.len() as u32, idle as u32), "I1: {snapshot:#?}");
    let mut tables: BTreeMap<u32, u32> = BTreeMap::new();
    for block in running.iter().flat_map(|sequence| &sequence.block_table) {
        *tables.entry(block.0).or_insert(0) += 1;
    }
    for (id, block) in (0..).zip(blocks) {
        let references = if let BlockState::Referenced(references) = block { *references } else { 0 };
        assert_eq!(references, tables.get(&id).copied().unwrap_or(0), "I2: block {id} of {snapshot:#?}");
        if let BlockState::Fenced(step) = block {
            assert!(in_flight.contains(step), "block {id} waits for a step that is done: {snapshot:#?}");
        }
    }
    let size = snapshot.block_size as usize;
    for sequence in running {
        let full = sequence.computed / size;
        for (index, block) in sequence.block_table.iter().enumerate() {
            assert!(tables[&block.0] == 1 || index < full, "I3: block {block} is shared and not full: {snapshot:#?}");
        }
    }
    assert!(waiting.iter().all(|sequence| sequence.block_table.is_empty()), "waits with blocks: {snapshot:#?}");
}

/// I6, I7: nothing is computed that isn't known or under way, or has no slot. I11: nobody is ahead of its client for more
/// than the window. I15: nobody who could run is left out for longer than its turn takes.
fn sequences(rig: &Rig, snapshot: &Snapshot) {
    let Snapshot { running, waiting, .. } = snapshot;
    let live = running.len() + waiting.len();
    for sequence in running.iter().chain(waiting) {
        assert!(sequence.computed <= sequence.tokens + sequence.pending, "I6: {snapshot:#?}");
        assert!(sequence.computed <= sequence.block_table.len() * snapshot.block_size as usize, "I7: {snapshot:#?}");
        assert!(sequence.unacknowledged <= rig.config.credit_window as usize, "I11: {snapshot:#?}");
        let patience = rig.config.max_skipped_steps as usize + live;
        assert!(sequence.skipped_steps as usize <= patience, "I15: {snapshot:#?}");
    }
}

/// I17: whoever could compute has a step out, or lacks a block that is on its way back.
fn busy(rig: &Rig, snapshot: &Snapshot, event: &Event) {
    let Snapshot { blocks, running, waiting, in_flight, .. } = snapshot;
    // After a failure nothing is issued until all that was out is back.
    let held = rig.barrier.is_some_and(|barrier| in_flight.iter().any(|step| *step <= barrier));
    if !rig.ready || held || in_flight.len() >= rig.fake.capacity.depth as usize {
        return;
    }
    let fenced = blocks.iter().any(|block| matches!(block, BlockState::Fenced(_)));
    for sequence in running {
        let slots = sequence.block_table.len() * snapshot.block_size as usize - sequence.computed;
        let stands = sequence.rows_left == 0 || sequence.parked.is_some() || (slots == 0 && fenced);
        assert!(stands, "I17: {snapshot:#?}");
    }
    let moves = running.iter().chain(waiting).any(|sequence| sequence.parked.is_none());
    assert!(!moves || !in_flight.is_empty(), "I17, nothing runs after {event:?}: {snapshot:#?}");
}

/// I12: whoever gives its blocks up stood still, or makes room for one of its own class or a better one. I18: a
/// request alone is never preempted.
fn preemptions(before: &Snapshot, after: &Snapshot, event: &Event) {
    let forced = matches!(event, Event::ExecutorLost { .. } | Event::StepFailed { .. } | Event::Capacity { .. });
    // A step's result may be that of an earlier failure, or lack a token of a sequence that was closed: see the scheduler.
    if forced || matches!(event, Event::StepDone { .. } | Event::ExecutorReady { .. }) {
        return;
    }
    let ran: BTreeSet<Name> = before.running.iter().map(name).collect();
    let victims: Vec<&SequenceSnapshot> =
        after.waiting.iter().filter(|sequence| ran.contains(&name(sequence))).collect();
    let live = after.running.len() + after.waiting.len();
    assert!(victims.is_empty() || live > 1, "I18: {after:#?}");
    for victim in victims {
        let held = |sequence: &&SequenceSnapshot| {
            let earlier = before.running.iter().find(|other| name(other) == name(sequence));
            earlier.map_or(0, |earlier| earlier.block_table.len())
        };
        // It has the block, or waits until the step that names it is done.
        let wants =
            |sequence: &&SequenceSnapshot| sequence.computed == sequence.block_table.len() * after.block_size as usize;
        let gained = |sequence: &&SequenceSnapshot| sequence.block_table.len() > held(sequence) || wants(sequence);
        let for_whom = after.running.iter().filter(gained).any(|other| other.class <= victim.class)
            || after.waiting.iter().any(|other| other.class < victim.class);
        // It may have needed the block itself, and be the one that matters least.
        let earlier = before.running.iter().find(|other| name(other) == name(victim)).expect("it ran");
        let needed_one = earlier.computed == earlier.block_table.len() * before.block_size as usize;
        let fair = victim.parked.is_some() || for_whom || needed_one;
        assert!(fair, "I12: {victim:#?} gave way to nobody better: {before:#?} {after:#?}");
    }
}

/// I13: no plan has rows of other tabs' prompts while the focused tab has rows that fit, unless somebody was left out for
/// too long; and the focused tab's decodes are in it before all others'.
fn focused_first(rig: &Rig, before: &Snapshot, after: &Snapshot, event: &Event, commands: &[Command]) {
    let plans: Vec<&StepPlan> = commands
        .iter()
        .filter_map(|command| if let Command::RunStep { plan, .. } = command { Some(plan) } else { None })
        .collect();
    // With several plans at once, or a change of class in this very event, the state between is not known here.
    let [plan] = plans[..] else { return };
    if matches!(event, Event::ClientState { .. }) {
        return;
    }
    let overdue = before.running.iter().any(|sequence| sequence.skipped_steps >= rig.config.max_skipped_steps);
    let in_plan = |sequence: &SequenceSnapshot| {
        plan.chunks.iter().any(|chunk| {
            chunk.block_table == sequence.block_table && chunk.start as usize + chunk.tokens.len() == sequence.computed
        })
    };
    // Prompts of the focused tab share what there is; it is theirs first.
    let focused_prompt = after.running.iter().any(|sequence| {
        let was = before.running.iter().find(|other| name(other) == name(sequence));
        sequence.class == 0 && in_plan(sequence) && !was.is_some_and(|was| was.decodes)
    });
    let others = after.running.iter().any(|sequence| sequence.class > 0 && in_plan(sequence));
    for sequence in after.running.iter().filter(|sequence| sequence.class == 0 && sequence.parked.is_none()) {
        let slots = sequence.block_table.len() * after.block_size as usize > sequence.computed;
        let shares = focused_prompt && !sequence.decodes;
        let left_out = sequence.rows_left > 0 && slots && !in_plan(sequence) && !shares;
        assert!(!(left_out && others) || overdue, "I13: {sequence:#?} is left out of {plan:#?}");
    }
}
