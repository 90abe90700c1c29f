//! Runs a command, shows its output as it comes, and reads the counts that test runners print at the end.
//!
//! Three runners speak here, each with a summary line of its own that has been stable for years:
//! cargo's `test result: ok. 12 passed; 0 failed; 1 ignored; ...` (one for each test program), node's `# pass 12` or
//! `ℹ pass 12`, and vitest's `Tests  1 failed | 12 passed (13)`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Outcome;

/// A command that counts nothing: it succeeds or is an error.
pub(super) fn check(mut command: Command) -> Result<Outcome> {
    let name = name(&command);
    let status = command.status().with_context(|| format!("`{name}` could not be started"))?;
    if !status.success() {
        bail!("`{name}` failed");
    }
    Ok(Outcome::default())
}

/// A test runner: its own counts, and one failure more if it failed in another way (tests that do not compile, a crash).
pub(super) fn count(mut command: Command) -> Result<Outcome> {
    let name = name(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("`{name}` could not be started"))?;
    let output = child.stdout.take().context("the output of the tests was lost")?;
    let mut outcome = Outcome::default();
    let mut stdout = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("the output of `{name}` broke off"))?;
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
        stdout.flush()?;
        outcome.read_line(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    if !status.success() && outcome.failed == 0 {
        outcome.add_all(Outcome::failure(format!("`{name}` failed without counting a failed test ({status})")));
    }
    if status.success() && outcome.passed == 0 && outcome.failed == 0 && outcome.skipped == 0 {
        crate::say::step("Note", format!("`{name}` ran no test"));
    }
    Ok(outcome)
}

impl Outcome {
    /// Adds the counts of a summary line, or the name of a failed test; other lines add nothing.
    fn read_line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(name) = failed_test(line) {
            if !self.failures.iter().any(|known| known == name) {
                self.failures.push(name.to_owned());
            }
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            // "ok. 12 passed; 0 failed; 1 ignored; 0 measured; ..."
            let counts = counts.split_once(". ").map_or(counts, |(_, counts)| counts);
            self.add_each(counts.split(';'));
        } else if let Some(counts) = line.strip_prefix("Tests  ") {
            self.add_each(counts.split('|'));
        } else if let Some(count) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            // "pass 12": the word first.
            if let Some((word, number)) = count.split_once(' ') {
                self.add(word, number);
            }
        }
    }

    fn add_each<'a>(&mut self, counts: impl Iterator<Item = &'a str>) {
        for count in counts {
            let mut words = count.split_whitespace();
            if let (Some(number), Some(word)) = (words.next(), words.next()) {
                self.add(word, number);
            }
        }
    }

    fn add(&mut self, word: &str, number: &str) {
        let Ok(number) = number.parse::<u64>() else { return };
        match word {
            "pass" | "passed" => self.passed += number,
            // A cancelled test is one whose file broke or ran out of time: it did not pass.
            "fail" | "failed" | "cancelled" => self.failed += number,
            "skipped" | "ignored" | "todo" => self.skipped += number,
            _ => {}
        }
    }
}

/// The name in `test NAME ... FAILED` (cargo), `not ok 1 - NAME`, `✖ NAME (12ms)` (node) or `FAIL  FILE > NAME` (vitest).
fn failed_test(line: &str) -> Option<&str> {
    let cargo = || line.strip_prefix("test ")?.strip_suffix(" ... FAILED");
    let tap = || line.strip_prefix("not ok ")?.split_once(" - ").map(|(_, name)| name);
    let spec = || line.strip_prefix("✖ ")?.rsplit_once(" (").map(|(name, _)| name);
    let vitest = || line.strip_prefix("FAIL  ");
    cargo().or_else(tap).or_else(spec).or_else(vitest)
}

fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    fn read(output: &str) -> Outcome {
        let mut outcome = Outcome::default();
        output.lines().for_each(|line| outcome.read_line(line));
        outcome
    }

    #[test]
    fn the_summaries_of_all_test_programs_of_cargo_add_up() {
        let output = "running 2 tests\n\
            test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n\
            test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(read(output), Outcome { passed: 16, failed: 2, skipped: 1, ..Outcome::default() });
    }

    #[test]
    fn node_counts_are_read_in_both_of_its_formats_and_a_cancelled_test_is_a_failure() {
        let tap = "# tests 7\n# suites 0\n# pass 4\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n# duration_ms 12.5";
        let spec = tap.replace('#', "ℹ");
        assert_eq!(read(tap), Outcome { passed: 4, failed: 2, skipped: 1, ..Outcome::default() });
        assert_eq!(read(&spec), read(tap));
    }

    #[test]
    fn vitest_counts_its_tests_and_not_its_files() {
        let output = " Test Files  1 failed | 2 passed (3)\n      Tests  1 failed | 12 passed | 3 skipped (16)\n";
        assert_eq!(read(output), Outcome { passed: 12, failed: 1, skipped: 3, ..Outcome::default() });
    }

    #[test]
    fn failed_tests_are_known_by_name_once_in_the_form_of_each_runner() {
        let output = "test a::b ... FAILED\ntest c ... ok\nnot ok 1 - opens two pages\n\
            ✖ streams (12.5ms)\n✖ streams (12.5ms)\n FAIL  ts/a.test.ts > cancels";
        assert_eq!(read(output).failures, ["a::b", "opens two pages", "streams", "ts/a.test.ts > cancels"]);
    }

    #[test]
    fn words_of_a_test_are_not_mistaken_for_counts() {
        assert_eq!(read("# a comment\nTests are fine\ntest a_name ... ok\n# pass the salt"), Outcome::default());
    }
}
