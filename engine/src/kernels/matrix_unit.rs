//! The units of a GPU that multiply matrices, and how products are shared out to them.
//!
//! What they take differs from device to device, so it is a parameter of the kernel as tiles are. How well tiles and units go together is for
//! a tuner to find; which do at all is said here.

use super::KernelVariant;

/// The units of a device by which a subgroup multiplies matrices of f16, and adds up in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatrixUnit {
    /// Rows of the result.
    pub m: u32,
    /// Columns of the result.
    pub n: u32,
    /// Columns of the first matrix.
    pub k: u32,
    /// Invocations of every subgroup.
    pub lanes: u32,
    /// Whether they are there. If not, kernels do with invocations what such units would, so that all but those is checked.
    pub real: bool,
}

impl MatrixUnit {
    /// Most sums of an invocation.
    const MOST_SUMS: u32 = 64;

    /// Units as an H100's, where there are none.
    pub const PRETENDED: Self = Self { m: 16, n: 16, k: 16, lanes: 32, real: false };

    /// Whether kernels can share out a team's matrix, so many blocks of 32 columns of it, to such units.
    pub fn divides(&self, (team_m, team_n): (u32, u32), parts: u32, blocks: u32) -> bool {
        let whole = team_m.is_multiple_of(self.m) && team_n.is_multiple_of(self.n) && self.k.is_multiple_of(8);
        let shared = (self.m * team_n).is_multiple_of(self.lanes) && (blocks * 32).is_multiple_of(parts * self.k);
        whole && shared && team_m * team_n <= Self::MOST_SUMS * self.lanes
    }

    /// The product with these units: rows and outputs of a tile and of a team, parts, blocks, and whether it fetches ahead.
    pub fn variant(
        &self,
        (tile_m, tile_n): (u32, u32),
        (team_m, team_n): (u32, u32),
        parts: u32,
        blocks: u32,
        ahead: bool,
    ) -> KernelVariant {
        let &Self { m: unit_m, n: unit_n, k: unit_k, lanes, real: units } = self;
        KernelVariant::SubgroupMatmulPacked {
            tile_m,
            tile_n,
            team_m,
            team_n,
            parts,
            blocks,
            ahead,
            lanes,
            unit_m,
            unit_n,
            unit_k,
            units,
        }
    }
}

impl KernelVariant {
    /// The product used where there are matrix units, for rows of `blocks` times 32 columns; `None` where the others are as good. Of all
    /// variants the fastest on an H100 (Chromium, with f16) for 32 rows: [28672, 4096] takes 82 us, [4096, 14336] 56, [6144, 4096] 28
    /// and [4096, 4096] 20.
    pub fn default_subgroup_matmul_packed(unit: MatrixUnit, rows: u32, outputs: u32, blocks: u32) -> Option<Self> {
        let (tile, team, parts, slice, ahead) = match (rows, outputs) {
            (0..=16, _) => return None,
            (..=64, 8192..) if blocks > 64 => ((32, 64), (32, 32), 2, 2, false),
            (..=64, 2048..) if blocks > 256 => ((32, 32), (32, 32), 4, 8, true),
            (..=64, 5120..) if blocks > 64 => ((32, 16), (32, 16), 2, 4, false),
            (..=64, 2048..) if blocks > 64 => ((32, 32), (32, 16), 4, 8, true),
            (..=64, _) => return None,
            (_, 4096..) => ((64, 128), (64, 32), 1, 1, true),
            _ => ((64, 64), (32, 32), 1, 2, true),
        };
        Some(unit.variant(tile, team, parts, slice, ahead)).filter(|_| unit.divides(team, parts, slice))
    }

    /// Bytes of workgroup memory of a product by matrix units: input and weights as f16, rows 16 bytes longer than their columns, and
    /// a unit's rows of each team's sums, four longer too. Of others 0.
    pub fn unit_bytes(&self) -> u32 {
        let Self::SubgroupMatmulPacked { tile_m, tile_n, team_m, team_n, parts, blocks, unit_m, .. } = *self else {
            return 0;
        };
        let teams = (tile_m / team_m) * (tile_n / team_n) * parts;
        (tile_m + tile_n) * (blocks * 64 + 16) + teams * unit_m * (team_n + 4) * 4
    }
}
