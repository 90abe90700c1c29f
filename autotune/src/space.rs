//! The search spaces, as data: every combination of parameters that a device's limits and the kernel's own rules allow.

use tilewright_engine::gpu::trial::{ProductForm, ProductOp};
use tilewright_engine::kernels::KernelVariant;

/// What of a device bounds kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub workgroup_size: u32,
    /// Invocations of the smallest subgroup; 1 without subgroups.
    pub subgroup: u32,
}

/// All variants of a product.
pub fn products(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let mut variants = Vec::new();
    let fused = !matches!(op.form, ProductForm::Plain | ProductForm::Accumulate);
    if op.rows <= 64 {
        variants.extend(matvecs(op, limits));
    }
    let packs = op.format.quantization().is_some();
    if op.rows > 4 && packs && op.rows <= 64 {
        variants.extend(packed_matvecs(op, limits));
    }
    if op.rows > 4 && (!fused || op.form == ProductForm::Head) {
        for (tile_m, tile_n, thread_m, thread_n) in tiles(limits) {
            if tile_m > 16 && tile_m >= 2 * op.rows.next_power_of_two() {
                continue;
            }
            let fetched = fetched(tile_m, tile_n, thread_m, thread_n, op.format.pack());
            if tile_bytes(tile_m, tile_n) <= limits.workgroup_bytes
                && fetched <= FETCHED
                && op.form != ProductForm::Head
            {
                variants.push(KernelVariant::Matmul { tile_m, tile_n, thread_m, thread_n });
            }
            let bytes = tile_m * 48 + tile_n * 48;
            if packs && bytes <= limits.workgroup_bytes {
                variants.push(KernelVariant::MatmulPacked { tile_m, tile_n, thread_m, thread_n });
            }
        }
    }
    variants
}

/// Most vec4 and packs that an invocation of a tile has under way. Beyond, SwiftShader's compiler does not come back: two minutes and more of
/// one core for 16 packs and 4 vec4 beside 32 sums, until the browser ends its GPU process; with 8 packs it takes 3 s.
const FETCHED: u32 = 12;

/// How many an invocation of a tile has.
fn fetched(tile_m: u32, tile_n: u32, thread_m: u32, thread_n: u32, pack: u32) -> u32 {
    let size = tile_m / thread_m * (tile_n / thread_n);
    (tile_m * 8).div_ceil(size) + (tile_n * 32 / pack).div_ceil(size)
}

fn tile_bytes(tile_m: u32, tile_n: u32) -> u32 {
    (tile_m + tile_n) * 9 * 16
}

fn tiles(limits: &Limits) -> Vec<(u32, u32, u32, u32)> {
    let mut tiles = Vec::new();
    for tile_m in [16, 32, 64, 128] {
        for tile_n in [16, 32, 64, 128] {
            for thread_m in [2, 4, 8] {
                for thread_n in [2, 4, 8] {
                    let size = tile_m / thread_m * (tile_n / thread_n);
                    if (32..=limits.workgroup_size.min(256)).contains(&size) {
                        tiles.push((tile_m, tile_n, thread_m, thread_n));
                    }
                }
            }
        }
    }
    tiles
}

fn columns(rows: u32) -> Vec<u32> {
    [1, 2, 4, 8, 16, 32].into_iter().filter(|&columns| columns <= rows.next_power_of_two()).rev().take(3).collect()
}

fn matvecs(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let pairs = matches!(op.form, ProductForm::Gate | ProductForm::Qkv { .. });
    let norm = !matches!(op.form, ProductForm::Plain | ProductForm::Accumulate);
    let mut variants = Vec::new();
    let pack = op.format.pack();
    let packs = op.inputs.div_ceil(pack);
    for columns in columns(op.rows).into_iter().filter(|&c| c <= 8) {
        for threads in [4, 8, 16, 32, 64, 128] {
            for outputs in [1, 2, 4, 8, 16, 32] {
                let size = threads * outputs;
                if !(32..=limits.workgroup_size.min(256)).contains(&size) {
                    continue;
                }
                for block in [1, 2, 4, 8] {
                    if (pairs && block % 2 != 0) || block * columns > 32 {
                        continue;
                    }
                    for subgroups in [false, true] {
                        if subgroups && threads > limits.subgroup {
                            continue;
                        }
                        let squares = if norm { size * columns * 4 } else { 0 };
                        let sums = if subgroups { 0 } else { size * columns * block * 4 };
                        if sums + squares <= limits.workgroup_bytes {
                            variants.push(KernelVariant::Matvec {
                                threads,
                                outputs,
                                columns,
                                block,
                                stage: 0,
                                subgroups,
                            });
                        }
                        if block == 4 && sums + squares < limits.workgroup_bytes {
                            let room =
                                (limits.workgroup_bytes.min(16_384).saturating_sub(squares)) / (columns * pack * 4);
                            if room < 8 {
                                continue;
                            }
                            let stage = (room - 1).min(packs).min(64);
                            variants.push(KernelVariant::Matvec { threads, outputs, columns, block, stage, subgroups });
                        }
                    }
                }
            }
        }
    }
    variants
}

fn packed_matvecs(op: &ProductOp, limits: &Limits) -> Vec<KernelVariant> {
    let pairs = matches!(op.form, ProductForm::Gate | ProductForm::Qkv { .. });
    let mut variants = Vec::new();
    for columns in columns(op.rows) {
        for threads in [4, 8, 16, 32, 64, 128] {
            for outputs in [1, 2, 4, 8, 16, 32] {
                let size = threads * outputs;
                if !(32..=limits.workgroup_size.min(256)).contains(&size) {
                    continue;
                }
                for block in [1, 2, 4, 8] {
                    if (pairs && block % 2 != 0) || block * columns > 64 {
                        continue;
                    }
                    for subgroups in [false, true] {
                        let sums = if subgroups { 0 } else { size * columns * block * 4 };
                        if (subgroups && threads > limits.subgroup) || sums > limits.workgroup_bytes {
                            continue;
                        }
                        variants.push(KernelVariant::MatvecPacked { threads, outputs, columns, block, subgroups });
                    }
                }
            }
        }
    }
    variants
}
