//! The search spaces, as data: every combination of parameters that a device's limits and the kernel's own rules allow.

use tilewright_engine::gpu::trial::{ProductForm, ProductOp};
use tilewright_engine::gpu::tuned_op::{HeadsOp, TunedOp};
use tilewright_engine::kernels::serial::serial_spans;
use tilewright_engine::kernels::variant::MOST_CHUNKS;
use tilewright_engine::kernels::{KernelVariant, MatrixUnit};

/// What of a device bounds kernels.
pub use tilewright_engine::gpu::KernelLimits as Limits;

/// All variants of an operation.
pub fn variants(op: &TunedOp, limits: &Limits) -> Vec<KernelVariant> {
    let sizes =
        |sizes: &[u32]| -> Vec<u32> { sizes.iter().copied().filter(|size| *size <= limits.workgroup_size).collect() };
    match op {
        TunedOp::Product(op) => products(op, limits),
        TunedOp::AttentionSplit(op) => splits(op, limits),
        TunedOp::AttentionTile(op) => attention_tiles(op, limits),
        TunedOp::Quantize(_) => {
            sizes(&[16, 32, 64, 128, 256]).into_iter().map(|workgroup| KernelVariant::Quantize { workgroup }).collect()
        }
        TunedOp::RmsNorm { .. } => {
            sizes(&[16, 32, 64, 128, 256]).into_iter().map(|workgroup| KernelVariant::RmsNorm { workgroup }).collect()
        }
        TunedOp::SampleScan { .. } => {
            let parts = [1, 2, 4, 8, 16, 32].into_iter().filter(|chunks| *chunks <= MOST_CHUNKS);
            let of = |chunks| {
                sizes(&[4, 16, 64, 128, 256])
                    .into_iter()
                    .map(move |workgroup| KernelVariant::SampleScan { workgroup, chunks })
            };
            parts.flat_map(of).collect()
        }
    }
}

/// All variants of a product.
fn products(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let mut variants = Vec::new();
    let fused = !matches!(op.form, ProductForm::Plain | ProductForm::Accumulate);
    if op.rows <= 64 {
        variants.extend(if op.packed { packed_matvecs(op, limits) } else { matvecs(op, limits) });
    }
    if limits.serial && !op.packed && !fused {
        variants.extend(serial_matvecs(op, limits));
    }
    if op.rows > 4 && (!fused || (op.packed && op.form == ProductForm::Head)) {
        variants.extend(tiles(op, limits));
    }
    if op.rows > 4 && op.packed {
        variants.extend(limits.unit.iter().flat_map(|unit| matrix_tiles(op, limits, unit)));
    }
    variants
}

/// Products by matrix units.
fn matrix_tiles(op: &ProductOp, limits: &Limits, unit: &MatrixUnit) -> Vec<KernelVariant> {
    let mut variants = Vec::new();
    let sides = |unit: u32| [16_u32, 32, 64].into_iter().filter(move |side| side.is_multiple_of(unit));
    for (team_m, team_n) in sides(unit.m).flat_map(|m| sides(unit.n).map(move |n| (m, n))) {
        for (across_m, across_n) in [1, 2, 4].into_iter().flat_map(|m| [1, 2, 4].map(|n| (m, n))) {
            let (tile_m, tile_n) = (team_m * across_m, team_n * across_n);
            if tile_m > 16 && tile_m >= 2 * op.rows.next_power_of_two() {
                continue;
            }
            for (parts, blocks) in [1, 2, 4].into_iter().flat_map(|parts| [1, 2, 4, 8].map(|blocks| (parts, blocks))) {
                if !unit.divides((team_m, team_n), parts, blocks) {
                    continue;
                }
                let variant = |ahead| unit.variant((tile_m, tile_n), (team_m, team_n), parts, blocks, ahead);
                let (size, bytes) = (variant(true).workgroup_size(), variant(true).unit_bytes());
                let packs = tile_n * blocks * 32 / op.format.pack();
                let fetched = (tile_m * blocks * 4).div_ceil(size) + packs.div_ceil(size);
                let fits = size <= limits.workgroup_size.min(256) && bytes <= limits.workgroup_bytes;
                if fits && fetched <= FETCHED {
                    variants.extend([false, true].map(variant));
                }
            }
        }
    }
    variants
}

fn tiles(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let mut variants = Vec::new();
    for tile_m in [16, 32, 64, 128] {
        if tile_m > 16 && tile_m >= 2 * op.rows.next_power_of_two() {
            continue;
        }
        for tile_n in [16, 32, 64, 128] {
            // Packs of eight, padded by one, as four floats each; or blocks of 32 integers.
            let bytes = if op.packed { (tile_m + tile_n) * 48 } else { (tile_m + tile_n) * 9 * 16 };
            for (thread_m, thread_n) in [2, 4, 8].into_iter().flat_map(|m| [2, 4, 8].map(|n| (m, n))) {
                let size = tile_m / thread_m * (tile_n / thread_n);
                if bytes > limits.workgroup_bytes || !(32..=limits.workgroup_size.min(256)).contains(&size) {
                    continue;
                }
                if op.packed {
                    variants.push(KernelVariant::MatmulPacked { tile_m, tile_n, thread_m, thread_n });
                    continue;
                }
                if fetched(tile_m, tile_n, size, op.format.pack()) > FETCHED {
                    continue;
                }
                let form = |halves| KernelVariant::Matmul { tile_m, tile_n, thread_m, thread_n, halves };
                // In f16 a sum has four more beside it while a slice is multiplied.
                let most = |halves: bool| !halves || (limits.halves && thread_m * thread_n <= MOST_RUNS);
                variants.extend([false, true].into_iter().filter(|halves| most(*halves)).map(form));
            }
        }
    }
    variants
}

/// Sums of f16 that an invocation has under way, four halves each: as many registers as twice so many floats.
const MOST_RUNS: u32 = 32;

/// Most vec4 and packs that an invocation of a tile has under way. Beyond, SwiftShader's compiler does not come back: two minutes and more of
/// one core for 16 packs and 4 vec4 beside 32 sums, until the browser ends its GPU process; with 8 packs it takes 3 s.
const FETCHED: u32 = 12;

/// How many an invocation of a tile has.
fn fetched(tile_m: u32, tile_n: u32, size: u32, pack: u32) -> u32 {
    (tile_m * 8).div_ceil(size) + (tile_n * 32 / pack).div_ceil(size)
}

/// How a matrix's outputs are shared out in a product for few rows.
#[derive(Clone, Copy)]
struct Team {
    threads: u32,
    outputs: u32,
    columns: u32,
    block: u32,
    subgroups: bool,
}

impl Team {
    fn size(&self) -> u32 {
        self.threads * self.outputs
    }

    /// Bytes of workgroup memory in which sums meet.
    fn sum_bytes(&self) -> u32 {
        if self.subgroups || self.threads == 1 { 0 } else { self.size() * self.columns * self.block * 4 }
    }
}

/// All teams whose invocations keep at most so many sums each.
fn teams(op: &ProductOp, limits: &Limits, most_columns: u32, most_sums: u32) -> Vec<Team> {
    // Forms that work on pairs of outputs want both in one team.
    let pairs = matches!(op.form, ProductForm::Gate | ProductForm::Qkv { .. });
    let rows = op.rows.next_power_of_two();
    let columns = [32, 16, 8, 4, 2, 1].into_iter().filter(|&columns| columns <= rows.min(most_columns)).take(3);
    let mut teams = Vec::new();
    for columns in columns {
        for threads in [1, 4, 8, 16, 32, 64, 128] {
            for outputs in [1, 2, 4, 8, 16, 32, 64] {
                let least = if threads == 1 { 4 } else { 32 };
                if !(least..=limits.workgroup_size.min(256)).contains(&(threads * outputs)) {
                    continue;
                }
                for block in [1, 2, 4, 8] {
                    if (pairs && block % 2 != 0) || block * columns > most_sums {
                        continue;
                    }
                    for subgroups in [false, true] {
                        let team = Team { threads, outputs, columns, block, subgroups };
                        let may = !subgroups || (threads > 1 && threads <= limits.subgroup);
                        if may && team.sum_bytes() <= limits.workgroup_bytes {
                            teams.push(team);
                        }
                    }
                }
            }
        }
    }
    teams
}

fn matvecs(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let norm = !matches!(op.form, ProductForm::Plain | ProductForm::Accumulate);
    let pack = op.format.pack();
    let packs = op.inputs.div_ceil(pack);
    let mut variants = Vec::new();
    for team in teams(op, limits, 8, 64) {
        let Team { threads, outputs, columns, block, subgroups } = team;
        let variant =
            |stage, halves| KernelVariant::Matvec { threads, outputs, columns, block, stage, subgroups, halves };
        let squares = if norm { team.size() * columns * 4 } else { 0 };
        for halves in
            [false, true].into_iter().filter(|halves| !halves || (limits.halves && block * columns <= MOST_RUNS))
        {
            if team.sum_bytes() + squares <= limits.workgroup_bytes {
                variants.push(variant(0, halves));
            }
            if block == 4 && threads > 1 && team.sum_bytes() + squares < limits.workgroup_bytes {
                // Halves of the input don't make room for the sums, which are floats, so they have their own.
                let (taken, bytes) = if halves { (squares + team.sum_bytes(), 2) } else { (squares, 4) };
                let room = limits.workgroup_bytes.min(16_384).saturating_sub(taken) / (columns * pack * bytes);
                if room >= 8 {
                    variants.push(variant((room - 1).min(packs).min(64), halves));
                }
            }
        }
    }
    variants
}

/// Products for a processor that stands in for a GPU.
fn serial_matvecs(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let packs = op.inputs.div_ceil(op.format.pack());
    let spans: Vec<u32> = serial_spans(op.format, packs, 64).collect();
    let mut variants = Vec::new();
    for columns in [8, 4, 2, 1].into_iter().filter(|&columns| columns <= op.rows).take(3) {
        for lanes in [4, 8, 16].into_iter().filter(|lanes| *lanes <= limits.workgroup_size) {
            for block in [4, 8, 16, 24, 32, 48, 64, 128] {
                // Of blocks that all of a processor's lanes have room for, the smallest will do.
                if block > 4 && lanes * block >= 2 * op.outputs {
                    continue;
                }
                variants.extend(spans.iter().map(|&span| KernelVariant::MatvecSerial { lanes, block, columns, span }));
            }
        }
    }
    variants
}

fn packed_matvecs(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let teams = teams(op, limits, 32, 64).into_iter().filter(|team| team.threads > 1);
    teams
        .map(|Team { threads, outputs, columns, block, subgroups }| KernelVariant::MatvecPacked {
            threads,
            outputs,
            columns,
            block,
            subgroups,
        })
        .collect()
}

fn splits(op: &HeadsOp, limits: &Limits) -> Vec<KernelVariant> {
    let heads_per_kv = op.heads / op.kv_heads;
    let mut variants = Vec::new();
    for group in (1..=heads_per_kv.min(16)).filter(|group| heads_per_kv.is_multiple_of(*group)) {
        for workgroup in [32, 64, 128, 256] {
            for tile in [16, 32, 64, 128] {
                let bytes = 4 * (group * (op.head_dim + workgroup + tile) + tile);
                if tile <= workgroup && workgroup <= limits.workgroup_size && bytes <= limits.workgroup_bytes {
                    variants.push(KernelVariant::AttentionSplit { workgroup, tile, group });
                }
            }
        }
    }
    if limits.serial {
        let groups =
            (1..=heads_per_kv).filter(|group| heads_per_kv.is_multiple_of(*group) && group * op.head_dim <= 512);
        let of = |group| [4, 8, 16].map(|lanes| KernelVariant::AttentionSerial { lanes, group });
        variants.extend(groups.flat_map(of));
    }
    variants
}

fn attention_tiles(op: &HeadsOp, limits: &Limits) -> Vec<KernelVariant> {
    let dims = op.head_dim / 4;
    let mut variants = Vec::new();
    // Only others go evenly into heads of 80 or 96.
    let (queries, workgroups) = if dims.is_power_of_two() {
        ([8, 16, 32, 64].as_slice(), [32, 64, 128, 256].as_slice())
    } else {
        ([4, 8, 12, 16, 20, 24, 40].as_slice(), [48, 80, 96, 160, 192, 240].as_slice())
    };
    for &queries in queries {
        for tile in [16, 32, 64] {
            for &workgroup in workgroups {
                let bytes = 4 * (queries * (op.head_dim + tile) + tile);
                let fits = workgroup <= limits.workgroup_size && bytes <= limits.workgroup_bytes;
                let whole = workgroup.is_multiple_of(tile)
                    && workgroup.is_multiple_of(dims)
                    && (queries * tile).is_multiple_of(workgroup)
                    && (queries * dims).is_multiple_of(workgroup);
                // An invocation keeps four sums for each of its queries.
                if fits && whole && queries * dims / workgroup <= 16 {
                    variants.push(KernelVariant::AttentionTile { workgroup, queries, tile });
                }
            }
        }
    }
    variants
}
