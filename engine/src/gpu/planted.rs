//! Faults that tests plant in kernels: what a driver could do to a kernel that is right.

use super::Gpu;
use crate::kernels::KernelVariant;
use std::borrow::Cow;

/// What is wrong with a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedFault {
    /// The device's compiler refuses it.
    Refused,
    /// It computes nothing.
    Wrong,
    /// Each invocation turns round so often before it begins, some 3 000 operations each; Mesa ends a loop after 65 536 turns.
    Slow(u32),
}

impl Gpu {
    /// A kernel's text, with whatever fault a test wants it to have.
    pub(super) fn planted<'a>(&self, variant: &KernelVariant, source: &'a str) -> Cow<'a, str> {
        let fault = self.plant.iter().find(|(planted, _)| planted == variant).map(|(_, fault)| *fault);
        let turns = match fault {
            _ if self.pretends_to_refuse(variant) => return format!("{source}\nrefused").into(),
            Some(PlantedFault::Refused) => return format!("{source}\nrefused").into(),
            Some(PlantedFault::Wrong) => 0,
            Some(PlantedFault::Slow(turns)) => turns,
            None => return source.into(),
        };
        let main = source.find("fn main(").and_then(|at| Some(at + source[at..].find('{')? + 1));
        let (before, after) = source.split_at(main.unwrap_or(source.len()));
        // Nobody can tell where this leads to (xorshift, Marsaglia 2003) but by doing it; much of it in a turn, as turns are few.
        let body = "planted ^= planted << 13u; planted ^= planted >> 17u; planted ^= planted << 5u;\n".repeat(1024);
        format!(
            "{before}
    var planted = 1u;
    for (var turn = 0u; turn < {turns}u; turn += 1u) {{
        {body}
    }}
    if planted == {}u {{ return; }}{after}",
            u32::from(turns == 0)
        )
        .into()
    }

    fn pretends_to_refuse(&self, variant: &KernelVariant) -> bool {
        let kernel = variant.kernel();
        self.refuse.iter().any(|refused| match refused.split_once(' ') {
            None => refused == kernel,
            Some((name, columns)) => name == kernel && variant.columns() == columns.parse().ok(),
        })
    }
}
