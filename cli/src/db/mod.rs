//! `tilewright db`: what is in tuning databases.
//!
//! A file here is one of the user's own, so it may be of any size; otherwise it is read as an import is, and what that leaves
//! out is said on standard error. No kernel of today is asked: a file is judged by what it says.

mod diff;
mod show;

use crate::args::Db;
use crate::error::CliError;
use std::path::{Path, PathBuf};
use tilewright_tuning_db::exchange::export;
use tilewright_tuning_db::store::replace_file;
use tilewright_tuning_db::{Database, ImportReport, ImportRules, Limits};

/// Does what was asked.
pub(crate) fn run(command: &Db) -> Result<(), CliError> {
    match command {
        Db::Show { files, json } => {
            show::show(&read_all(files)?, *json);
            Ok(())
        }
        Db::Check { files } => check(files),
        Db::Merge { files, out } => merge(files, out),
        Db::Diff { before, after, json } => {
            let (before, after) = (read_all(std::slice::from_ref(before))?, read_all(std::slice::from_ref(after))?);
            diff::diff(&before, &after, *json);
            Ok(())
        }
    }
}

fn read(path: &Path, database: &mut Database) -> Result<ImportReport, CliError> {
    let bytes = std::fs::read(path).map_err(|source| CliError::File { path: path.to_owned(), source })?;
    let limits = Limits { bytes: usize::MAX, items: usize::MAX, ..Limits::default() };
    let rules = ImportRules { limits, ..ImportRules::default() };
    database.import(&bytes, &rules).map_err(|source| CliError::Tuning { path: path.to_owned(), source })
}

/// All files as one database.
fn read_all(files: &[PathBuf]) -> Result<Database, CliError> {
    let mut database = Database::default();
    for path in files {
        let report = read(path, &mut database)?;
        if !report.skipped.is_empty() {
            eprintln!("{}: {report}", path.display());
        }
    }
    Ok(database)
}

fn check(files: &[PathBuf]) -> Result<(), CliError> {
    let mut faulty = 0;
    for path in files {
        let mut database = Database::default();
        match read(path, &mut database) {
            Ok(report) if report.skipped.is_empty() && report.unknown_fields == 0 && report.known == 0 => {
                println!("{}: {}, no fault", path.display(), contents(&database));
            }
            Ok(report) => {
                // Fields of a later version and doubles do no harm.
                faulty += usize::from(!report.skipped.is_empty());
                println!("{}: {report}", path.display());
            }
            Err(error) => {
                faulty += 1;
                println!("{error}");
            }
        }
    }
    if faulty == 0 { Ok(()) } else { Err(CliError::FaultyTuning { faulty, files: files.len() }) }
}

fn merge(files: &[PathBuf], out: &Path) -> Result<(), CliError> {
    let database = read_all(files)?;
    let failed = |error: std::io::Error| CliError::Output { path: out.to_owned(), message: error.to_string() };
    replace_file(out, &export(&database)).map_err(failed)?;
    println!("{}: {}", out.display(), contents(&database));
    Ok(())
}

/// `214 records, 3 trials`.
fn contents(database: &Database) -> String {
    let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}", count(database.records().count(), "record"), count(database.trials().count(), "trial"))
}
