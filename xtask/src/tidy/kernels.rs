//! Every kernel has its CPU twin: `rope_kv.wgsl` beside `rope_kv.rs`.
//!
//! Two kernels of one operation share a twin when the folder's `mod.rs` says so, in the table row that names both:
//! ``| matrix product | `matvec.wgsl`, `matmul.wgsl` | [`matmul`] |``. The table must list every kernel.

use regex_lite::Regex;

use super::Source;

/// Kernels without twin, or missing in their folder's table.
pub(super) fn without_twin(sources: &[Source]) -> Vec<String> {
    let kernels = sources.iter().filter_map(|source| {
        let folder = source.path.strip_suffix(source.name())?;
        let stem = source.name().strip_suffix(".wgsl")?;
        folder.ends_with("/kernels/").then_some((folder, stem))
    });
    kernels.filter_map(|(folder, stem)| complaint(sources, folder, stem)).collect()
}

fn complaint(sources: &[Source], folder: &str, stem: &str) -> Option<String> {
    let text =
        |path: String| sources.iter().find(|source| source.path == path).and_then(|source| source.text.as_deref());
    let table = text(format!("{folder}mod.rs")).unwrap_or_default();
    let quoted = format!("`{stem}.wgsl`");
    let Some(row) = table.lines().find(|line| line.contains('|') && line.contains(&quoted)) else {
        return Some(format!("{folder}{stem}.wgsl: the table in {folder}mod.rs does not list it"));
    };
    let link = Regex::new(r"\[`(\w+)`\]").ok()?;
    let twins: Vec<&str> = link.captures_iter(row).filter_map(|found| found.get(1)).map(|name| name.as_str()).collect();
    let exists = twins.iter().any(|twin| text(format!("{folder}{twin}.rs")).is_some());
    (!exists).then(|| format!("{folder}{stem}.wgsl: no CPU twin among {twins:?} in {folder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(table: &str) -> Vec<Source> {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: Some(text.to_owned()) };
        vec![
            source("engine/src/kernels/mod.rs", table),
            source("engine/src/kernels/matmul.rs", ""),
            source("engine/src/kernels/matvec.wgsl", ""),
            source("engine/src/kernels/shared/row.wgsl", ""),
        ]
    }

    #[test]
    fn a_kernel_needs_a_row_that_links_to_an_existing_twin() {
        assert!(without_twin(&folder("//! | product | `matvec.wgsl` | [`matmul`] |")).is_empty());
        assert_eq!(without_twin(&folder("//! | product | `matvec.wgsl` | [`matvec`] |")).len(), 1);
        assert_eq!(without_twin(&folder("//! no table")).len(), 1);
    }
}
