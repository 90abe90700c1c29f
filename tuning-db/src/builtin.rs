//! Records that come with the package, made by the tuner itself on the devices named in `builtin/`.

use crate::database::{Database, Entry, Provenance};
use crate::import::{ImportError, ImportReport, ImportRules};

/// The files, by name. `cargo test` sees that every file of the folder is here and has nothing to complain of.
pub const FILES: &[(&str, &str)] = &[
    ("mesa-lavapipe.json", include_str!("../builtin/mesa-lavapipe.json")),
    ("nvidia-h100-chromium.json", include_str!("../builtin/nvidia-h100-chromium.json")),
    ("swiftshader.json", include_str!("../builtin/swiftshader.json")),
];

/// Everything in the files.
pub fn database() -> Result<Database, ImportError> {
    let mut database = Database::default();
    for (_, text) in FILES {
        read(text, &mut database)?;
    }
    Ok(database)
}

/// Takes one file as built in. Records of other kernel sources come along and are stale.
fn read(text: &str, database: &mut Database) -> Result<ImportReport, ImportError> {
    let report = Database::default().import(text.as_bytes(), &ImportRules::default())?;
    for entry in &report.taken {
        database.insert(Entry { provenance: Provenance::BuiltIn, ..entry.clone() });
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::export;
    use crate::{Outcome, Record, Shape, Variant};
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_built_in_and_without_fault() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("builtin");
        let names = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "README.md").collect();
        names.sort();
        assert_eq!(names, FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
        for (name, text) in FILES {
            let report = read(text, &mut Database::default()).unwrap();
            assert!(report.skipped.is_empty() && report.unknown_fields == 0 && report.known == 0, "{name}: {report}");
        }
        assert!(database().unwrap().entries().all(|entry| entry.provenance == Provenance::BuiltIn));
    }

    #[test]
    fn what_the_tuner_wrote_becomes_built_in() {
        let variant = Variant { kernel: "matvec".to_owned(), parameters: [].into() };
        let shape = Shape { op: "matmul".to_owned(), m: 1, ..Shape::default() };
        let record = Record::new(variant, "0123".to_owned(), shape, Outcome::Refused, 1);
        let mut tuned = Database::default();
        tuned.insert(Entry::new(crate::Item::Record(record), Provenance::MeasuredHere).unwrap());
        let mut builtin = Database::default();
        read(&export(&tuned), &mut builtin).unwrap();
        assert_eq!(builtin.records().map(|(_, provenance)| provenance).collect::<Vec<_>>(), [Provenance::BuiltIn]);
    }
}
