//! How many events the core handles: `cargo bench -p tilewright-scheduler`.
//!
//! 32 requests of four clients decode side by side over a pool of 4 096 blocks, each with a prompt of 500 tokens of which
//! 400 are everybody's; whenever one ends another is submitted. Per step there is one `StepDone` with all their tokens, and an
//! `Ack` for every token. The model is a counter, so that what is timed is the scheduler and nothing else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tilewright_plan::{Capacity, Sampled, StepId, StepPlan, TokenId};
use tilewright_scheduler::{ClientId, Command, Config, Event, Micros, Millis, RequestId, RequestSpec, Scheduler};

const REQUESTS: [u64; 2] = [8, 32];
const STEPS: u64 = 20_000;

fn main() {
    println!("requests  steps/s     events/s    us per step  us per event");
    for requests in REQUESTS {
        let (time, steps, events) = run(requests);
        let seconds = time.as_secs_f64();
        println!(
            "{requests:8}  {:9.0}  {:10.0}  {:11.2}  {:12.3}",
            steps as f64 / seconds,
            events as f64 / seconds,
            seconds * 1e6 / steps as f64,
            seconds * 1e6 / events as f64
        );
    }
}

/// The time inside the scheduler, steps and events.
fn run(requests: u64) -> (Duration, u64, u64) {
    let capacity = Capacity {
        blocks: 4096,
        block_size: 16,
        max_rows: 256,
        max_chunks: 64,
        max_context: 8192,
        vocabulary: 50_000,
        depth: 2,
    };
    let mut bench = Bench {
        scheduler: Scheduler::new(Config { first_prefill_rows: 256, ..Config::default() }),
        time: Duration::ZERO,
        events: 0,
        live: 0,
        submitted: 0,
        issued: BTreeMap::new(),
        now: 0,
    };
    bench.send(Event::ExecutorReady { epoch: 0, capacity });
    let mut steps = 0;
    while steps < STEPS {
        while bench.live < requests {
            bench.submit();
        }
        let Some((step, plan)) = bench.issued.pop_first() else { break };
        bench.now += 3;
        bench.send(Event::StepDone { epoch: 0, step, tokens: tokens(&plan, step), elapsed: Micros(3_000) });
        steps += 1;
    }
    (bench.time, steps, bench.events)
}

fn tokens(plan: &StepPlan, step: StepId) -> Vec<Sampled> {
    let samples = plan.chunks.iter().filter(|chunk| chunk.output == tilewright_plan::ChunkOutput::Sample);
    let token = TokenId((step.0 * 7 % 50_000) as u32);
    samples.map(|chunk| Sampled { sequence: chunk.sequence, token, logprob: None, top_logprobs: Vec::new() }).collect()
}

struct Bench {
    scheduler: Scheduler,
    time: Duration,
    events: u64,
    live: u64,
    submitted: u64,
    issued: BTreeMap<StepId, StepPlan>,
    now: u64,
}

impl Bench {
    fn submit(&mut self) {
        self.submitted += 1;
        self.live += 1;
        let own = self.submitted;
        let prompt =
            (0..500).map(|position| TokenId(if position < 400 { position } else { (position + own as u32) % 50_000 }));
        let spec = RequestSpec::new(prompt.collect(), 100 + (own * 37 % 200) as u32);
        self.send(Event::Submit { client: ClientId(own % 4), request: RequestId(own), spec });
    }

    fn send(&mut self, event: Event) {
        let began = Instant::now();
        let commands = self.scheduler.handle(event, Millis(self.now));
        self.time += began.elapsed();
        self.events += 1;
        for command in commands {
            match command {
                Command::RunStep { step, plan, .. } => _ = self.issued.insert(step, plan),
                Command::Emit { client, request, seq, .. } => self.send(Event::Ack { client, request, seq }),
                Command::Finish { .. } => self.live -= 1,
                other => panic!("unexpected: {other:?}"),
            }
        }
    }
}
