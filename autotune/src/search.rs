//! Finding a good variant without trying all of them.
//!
//! A search space has hundreds of variants and a user has seconds, of which most go to compiling. What is fast has fast
//! neighbours: so the search begins with what is known to be good elsewhere and with a few from all over the space, and then
//! climbs, from the best to those one step away in one parameter, or in two that trade against each other, until none is
//! better or time is up. Those near the best are timed more often before one is chosen. `--exhaustive` tries all; what a search misses of that
//! is in BENCHMARKS.md.

use crate::host::Worked;
use crate::race::{Entry, Race};
use std::collections::{BTreeMap, BTreeSet};
use tilewright_engine::gpu::trial::TrialError;
use tilewright_engine::kernels::KernelVariant;

/// How long a search may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchOptions {
    /// Microseconds of the device.
    pub gpu_us: f64,
    /// Microseconds in all, compiling included but not waiting for the device to be idle.
    pub all_us: f64,
    /// Try every variant, however long that takes.
    pub exhaustive: bool,
    /// Samples of those from whom the winner is chosen.
    pub samples: usize,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { gpu_us: 150_000.0, all_us: 300_000.0, exhaustive: false, samples: 5 }
    }
}

/// The last rounds may take so much of the device's time in all.
const OVERTIME: f64 = 1.3;
/// Variants tried from all over the space at first.
const SPREAD: usize = 6;
/// Variants of a step of the climb.
const STEP: usize = 6;
/// A budget that is small, microseconds.
const SHORT_US: f64 = 250_000.0;
/// Who is so many times slower than the best may still win.
const NEAR: f64 = 1.1;

/// Searches `space` for something faster than `current`, beginning with `seeds`: the race's entries are what was found, also when
/// it ends early.
///
/// # Errors
/// When the device fails, or has no memory for the operands.
pub async fn search(
    race: &mut Race<'_>,
    current: KernelVariant,
    seeds: &[KernelVariant],
    space: &[KernelVariant],
    options: &SearchOptions,
    host: &Worked<'_>,
) -> Result<(), TrialError> {
    let begun_us = host.worked_us();
    let is_over = |race: &Race<'_>| {
        !options.exhaustive && (race.spent_us() >= options.gpu_us || host.worked_us() - begun_us >= options.all_us)
    };
    let map = Map::new(space);
    if options.exhaustive {
        let all = [&[current], space].concat();
        for some in all.chunks(32) {
            race.enter(some).await?;
        }
    } else {
        // Of a small budget a large step would take all.
        let step = if options.all_us < SHORT_US { STEP / 2 } else { STEP };
        let first = [vec![current], seeds.to_vec(), map.spread(SPREAD)].concat();
        for (index, some) in first.chunks(step + 1).enumerate() {
            if index == 0 || !is_over(race) {
                race.enter(some).await?;
            }
        }
        while !is_over(race) {
            let next = map.next(race.entries(), step);
            if next.is_empty() {
                break;
            }
            race.enter(&next).await?;
        }
    }
    // Whoever was tried last was timed once only; where one run takes long, two of them have to do.
    for round in 1..options.samples {
        if round < 2 || race.spent_us() < options.gpu_us * OVERTIME {
            race.round(options.samples).await?;
        }
    }
    Ok(())
}

/// A search space as points: the rank of each parameter among the values that it has.
struct Map {
    points: Vec<(KernelVariant, Point)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    kernel: &'static str,
    ranks: BTreeMap<String, i64>,
}

impl Map {
    fn new(space: &[KernelVariant]) -> Self {
        let mut values: BTreeMap<(&str, String), BTreeSet<i64>> = BTreeMap::new();
        let raw: Vec<(KernelVariant, BTreeMap<String, i64>)> =
            space.iter().map(|variant| (*variant, parameters(variant))).collect();
        for (variant, parameters) in &raw {
            for (name, value) in parameters {
                values.entry((variant.kernel(), name.clone())).or_default().insert(*value);
            }
        }
        let point = |(variant, parameters): (KernelVariant, BTreeMap<String, i64>)| {
            let rank = |(name, value): (String, i64)| {
                let all = &values[&(variant.kernel(), name.clone())];
                (name, all.range(..value).count() as i64)
            };
            (variant, Point { kernel: variant.kernel(), ranks: parameters.into_iter().map(rank).collect() })
        };
        Self { points: raw.into_iter().map(point).collect() }
    }

    /// Variants from all over the space, of each kernel as many.
    fn spread(&self, count: usize) -> Vec<KernelVariant> {
        let kernels: BTreeSet<&str> = self.points.iter().map(|(_, point)| point.kernel).collect();
        let each = count.div_ceil(kernels.len().max(1));
        let of = |kernel: &str| {
            let all: Vec<_> = self.points.iter().filter(|(_, point)| point.kernel == kernel).collect();
            let take = each.min(all.len());
            (0..take).map(|i| all[(2 * i + 1) * all.len() / (2 * take)].0).collect::<Vec<_>>()
        };
        kernels.into_iter().flat_map(of).collect()
    }

    /// Who to try next: neighbours of the best, else of the second best and so on, as long as those are not far behind.
    fn next(&self, entries: &[Entry], count: usize) -> Vec<KernelVariant> {
        let tried: BTreeSet<String> = entries.iter().map(|entry| name(&entry.variant)).collect();
        let mut ranked: Vec<&Entry> = entries.iter().filter(|entry| entry.time_us().is_some()).collect();
        ranked.sort_by(|a, b| a.time_us().unwrap_or(0.0).total_cmp(&b.time_us().unwrap_or(0.0)));
        let Some(best) = ranked.first().and_then(|entry| entry.time_us()) else { return Vec::new() };
        for entry in ranked.into_iter().take_while(|entry| entry.time_us().is_some_and(|time| time <= best * NEAR)) {
            let Some((_, from)) = self.points.iter().find(|(variant, _)| *variant == entry.variant) else { continue };
            let mut near: Vec<(u32, KernelVariant)> = self
                .points
                .iter()
                .filter_map(|(variant, point)| Some((from.steps_to(point)?, *variant)))
                .filter(|(_, variant)| !tried.contains(&name(variant)))
                .collect();
            near.sort_by_key(|(steps, _)| *steps);
            if !near.is_empty() {
                near.truncate(count);
                return near.into_iter().map(|(_, variant)| variant).collect();
            }
        }
        Vec::new()
    }
}

impl Point {
    /// 1: one parameter by one rank; 2: two by one rank each, in opposite directions. Farther points are no neighbours.
    fn steps_to(&self, other: &Self) -> Option<u32> {
        if self.kernel != other.kernel {
            return None;
        }
        let differences: Vec<i64> = self
            .ranks
            .iter()
            .filter_map(|(name, rank)| Some(other.ranks.get(name)? - rank))
            .filter(|difference| *difference != 0)
            .collect();
        match differences[..] {
            [-1 | 1] => Some(1),
            [-1, 1] | [1, -1] => Some(2),
            _ => None,
        }
    }
}

/// Numbers and flags of a variant. How many packs are staged follows from the rest, so only whether there are any counts.
fn parameters(variant: &KernelVariant) -> BTreeMap<String, i64> {
    let value = serde_json::to_value(variant).unwrap_or_default();
    let fields = value.as_object().into_iter().flatten();
    fields
        .filter_map(|(name, value)| {
            let number = value.as_i64().or_else(|| value.as_bool().map(i64::from))?;
            Some((name.clone(), if name == "stage" { number.min(1) } else { number }))
        })
        .collect()
}

fn name(variant: &KernelVariant) -> String {
    format!("{variant:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::{Outcome, Sample};

    fn space() -> Vec<KernelVariant> {
        let mut space = Vec::new();
        for tile_m in [16, 32, 64, 128] {
            for tile_n in [16, 32, 64, 128] {
                for thread_m in [2, 4, 8] {
                    space.push(KernelVariant::Matmul { tile_m, tile_n, thread_m, thread_n: 4, halves: false });
                }
            }
        }
        space
    }

    fn entry(variant: KernelVariant, us: f64) -> Entry {
        let sample = Sample { runs: 1, once_us: us, twice_us: None };
        Entry { variant, error: Some(0.0), outcome: Outcome::Ok(vec![sample; 5]) }
    }

    /// A landscape with one valley, its bottom at tiles of 64 by 32.
    fn time(variant: &KernelVariant) -> f64 {
        let KernelVariant::Matmul { tile_m, tile_n, thread_m, .. } = *variant else { return f64::INFINITY };
        let off = |a: u32, b: u32| (f64::from(a).log2() - f64::from(b).log2()).abs();
        10.0 + off(tile_m, 64) + off(tile_n, 32) + off(thread_m, 4)
    }

    #[test]
    fn a_climb_finds_the_bottom_of_a_valley_by_a_part_of_the_space() {
        let map = Map::new(&space());
        let mut entries: Vec<Entry> =
            map.spread(SPREAD).into_iter().map(|variant| entry(variant, time(&variant))).collect();
        assert!((SPREAD..=SPREAD + 2).contains(&entries.len()));
        for _ in 0..4 {
            let next = map.next(&entries, STEP);
            assert!(next.len() <= STEP && next.iter().all(|new| entries.iter().all(|old| old.variant != *new)));
            entries.extend(next.into_iter().map(|variant| entry(variant, time(&variant))));
        }
        let best = entries.iter().map(|entry| entry.time_us().unwrap()).fold(f64::INFINITY, f64::min);
        assert!(best <= 10.0 && entries.len() < space().len() * 3 / 4, "{best} after {}", entries.len());
    }

    #[test]
    fn neighbours_differ_by_one_step_or_trade_one_for_another() {
        let map = Map::new(&space());
        let middle = KernelVariant::Matmul { tile_m: 32, tile_n: 32, thread_m: 4, thread_n: 4, halves: false };
        let near = map.next(&[entry(middle, 1.0)], 100);
        assert_eq!(near.len(), 6 + 6, "{near:?}");
        assert!(!near.contains(&KernelVariant::Matmul {
            tile_m: 64,
            tile_n: 64,
            thread_m: 4,
            thread_n: 4,
            halves: false
        }));
        assert_eq!(near[..6].iter().filter(|near| matches!(near, KernelVariant::Matmul { tile_m: 32, .. })).count(), 4);
    }
}
