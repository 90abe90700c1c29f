//! Rows of activations side by side, for processors that multiply several rows otherwise than one.
//!
//! A panel is a block of four rows: each four activations four times over, as a register of 128 bits holds them, and scales and
//! sums likewise, four times the size of the rows' own blocks. It is made once an operation. (Each piece of work made its own before, a
//! few rows at a time; with two threads there are twice as many pieces, and their products of four rows took a seventh more time in all.)

use super::input::ActivationBlock;
use bytemuck::{Pod, Zeroable};

/// Rows of a panel.
pub(crate) const PANEL: usize = 4;

/// Fewer rows are better off as they are.
const LEAST: usize = 3;

/// Four activations, or their scale or sum, in each lane, of each row.
pub(crate) type Lanes<T> = [[T; 4]; PANEL];

/// A block of four rows.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct Panel {
    /// -127..=127
    pub(crate) codes: [Lanes<[i8; 4]>; 8],
    pub(crate) scales: Lanes<f32>,
    /// Of the activations.
    pub(crate) sums: Lanes<f32>,
    /// Minus eight times the sum of the codes, and of the first sixteen.
    pub(crate) minus_eight_sums: [Lanes<i32>; 2],
}

/// The codes of a panel by sign, for instructions one of whose operands is 0..=127.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct Signs {
    /// Codes above zero.
    pub(crate) above: [Lanes<[i8; 4]>; 8],
    /// Codes below zero, negated.
    pub(crate) below: [Lanes<[i8; 4]>; 8],
}

/// What is made of rows for an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PanelForms {
    pub(crate) panels: bool,
    pub(crate) signs: bool,
}

/// Rows in panels.
#[derive(Default)]
pub(crate) struct Panels {
    /// `[rows / 4, blocks]`, rows filled up with zeros; empty unless asked for.
    blocks: Vec<Panel>,
    /// Likewise.
    signs: Vec<Signs>,
    /// Blocks of a row.
    width: usize,
}

/// Where the panels of up to four rows go.
pub(super) type OfRows<'a> = (&'a mut [Panel], &'a mut [Signs]);

impl Panels {
    /// Makes room for rows of so many blocks. Where they are not wanted, or the rows are too few, there are none.
    pub(super) fn resize(&mut self, rows: usize, width: usize, forms: PanelForms) {
        let count = |wanted: bool| if wanted && rows >= LEAST { rows.div_ceil(PANEL) * width } else { 0 };
        self.width = width;
        self.blocks.resize(count(forms.panels), Panel::zeroed());
        self.signs.resize(count(forms.signs), Signs::zeroed());
    }

    /// Room for each four rows; nothing where there are no panels.
    pub(super) fn of_rows(&mut self) -> impl Iterator<Item = OfRows<'_>> {
        let width = self.width.max(1);
        let mut signs = self.signs.chunks_mut(width);
        self.blocks.chunks_mut(width).map(move |panels| (panels, signs.next().unwrap_or_default()))
    }

    /// The panels of four rows from `4 * index` on; `None` where there are none.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<(&[Panel], &[Signs])> {
        let range = index * self.width..(index + 1) * self.width;
        Some((self.blocks.get(range.clone())?, self.signs.get(range).unwrap_or_default())).filter(|_| self.width > 0)
    }
}

/// Writes up to four rows, `[rows, blocks]`.
pub(super) fn write((panels, signs): &mut OfRows<'_>, blocks: &[ActivationBlock]) {
    let width = panels.len();
    if blocks.len() < PANEL * width {
        panels.fill(Panel::zeroed());
        signs.fill(Signs::zeroed());
    }
    for (row, blocks) in blocks.chunks_exact(width).enumerate() {
        for (panel, block) in panels.iter_mut().zip(blocks) {
            for (lanes, codes) in panel.codes.iter_mut().zip(block.codes.as_chunks().0) {
                lanes[row] = [*codes; 4];
            }
            panel.scales[row] = [block.scale; 4];
            panel.sums[row] = [block.sum; 4];
            for (lanes, eight_sum) in panel.minus_eight_sums.iter_mut().zip(block.eight_sums) {
                lanes[row] = [-eight_sum; 4];
            }
        }
        for (signs, block) in signs.iter_mut().zip(blocks) {
            let lanes = signs.above.iter_mut().zip(&mut signs.below);
            for ((above, below), codes) in lanes.zip(block.codes.as_chunks::<4>().0) {
                above[row] = [codes.map(|code| code.max(0)); 4];
                below[row] = [codes.map(|code| (-code).max(0)); 4];
            }
        }
    }
}
