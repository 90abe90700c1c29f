//! Random files and mutated valid files, against everything that holds for any bytes: no panic, no more memory than the
//! bytes justify, the same answer however they are cut, and no header accepted that breaks a rule.
//!
//! `TILEWRIGHT_FUZZ_SECONDS` says how long each test runs (60 if unset). A failing case is shrunk and kept in
//! `tests/reading/fuzz.regressions`, which later runs begin with.

use crate::memory::Counter;
use crate::recorder::{Format, read};
use crate::valid_files;
use allocation_counter::measure;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tilewright_formats::{FormatError, Header};

#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Truncate(Index),
    SetU32(Index, u32),
    SetU64(Index, u64),
    Delete(Index, usize),
    /// Copies bytes from one place over another.
    Splice(Index, Index, usize),
    Insert(Index, &'static str),
}

/// Numbers that headers lie with.
const LIES: [u64; 16] = [
    0,
    1,
    2,
    5,
    9,
    31,
    255,
    1 << 16,
    1 << 20,
    1 << 27,
    (1 << 32) - 1,
    1 << 60,
    (1 << 61) + 1,
    1 << 63,
    u64::MAX - 31,
    u64::MAX,
];

/// Pieces of JSON that change its meaning.
const JSON: [&str; 12] =
    ["{", "}", "[", "]", ",", "\"", "-", "0", "9999999999999999999", "\"shape\":[],", "\"dtype\":\"F32\",", "\\u0000"];

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<Index>;
    vec(
        prop_oneof![
            3 => (at(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
            1 => at().prop_map(Mutation::Truncate),
            2 => (at(), select(&LIES[..])).prop_map(|(at, lie)| Mutation::SetU32(at, lie as u32)),
            2 => (at(), select(&LIES[..])).prop_map(|(at, lie)| Mutation::SetU64(at, lie)),
            1 => (at(), 1usize..40).prop_map(|(at, length)| Mutation::Delete(at, length)),
            1 => (at(), at(), 1usize..80).prop_map(|(from, to, length)| Mutation::Splice(from, to, length)),
            1 => (at(), select(&JSON[..])).prop_map(|(at, json)| Mutation::Insert(at, json)),
        ],
        0..4,
    )
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for mutation in mutations {
        // Half of the places are in the first bytes, where the counts are.
        let len = bytes.len();
        let place = |index: &Index| match index.index(2 * len + 1) {
            place if place > len => place % len.clamp(1, 256),
            place => place,
        };
        match mutation {
            Mutation::Flip(at, bit) => {
                let at = place(at);
                let flipped = bytes.get(at).map(|byte| byte ^ (1 << bit));
                overwrite(&mut bytes, at, flipped.as_slice());
            }
            Mutation::Truncate(at) => {
                let at = place(at);
                bytes.truncate(at);
            }
            Mutation::SetU32(at, value) => overwrite(&mut bytes, place(at), &value.to_le_bytes()),
            Mutation::SetU64(at, value) => overwrite(&mut bytes, place(at), &value.to_le_bytes()),
            Mutation::Delete(at, length) => {
                let at = place(at);
                let end = bytes.len().min(at + length);
                bytes.drain(at..end);
            }
            Mutation::Splice(from, to, length) => {
                let (from, to) = (place(from), place(to));
                let copied = bytes[from..bytes.len().min(from + length)].to_vec();
                overwrite(&mut bytes, to, &copied);
            }
            Mutation::Insert(at, json) => {
                let at = place(at);
                bytes.splice(at..at, json.bytes());
            }
        }
    }
    bytes
}

/// Writes `new` over what is at `at`, as far as the file goes.
fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    let old = bytes.get_mut(at..).unwrap_or_default();
    let length = old.len().min(new.len());
    old[..length].copy_from_slice(&new[..length]);
}

fn random(format: Format) -> BoxedStrategy<Vec<u8>> {
    let noise = vec(any::<u8>(), 0..600);
    match format {
        // Most begin as a GGUF does, with counts and lengths that lead on.
        Format::Gguf => prop_oneof![
            1 => noise.clone(),
            2 => noise.prop_map(|noise| [b"GGUF\x03\0\0\0".as_slice(), &noise].concat()),
            4 => (0u64..4, 0u64..6, vec(prop_oneof![0u64..13, any::<u64>(), select(&LIES[..])], 0..60)).prop_map(
                |(tensors, keys, numbers)| {
                    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
                    bytes.extend(tensors.to_le_bytes());
                    bytes.extend(keys.to_le_bytes());
                    for number in numbers {
                        // An empty name, then types and counts, of either width.
                        let width = if number % 2 == 0 { 8 } else { 4 };
                        bytes.extend(&number.to_le_bytes()[..width]);
                    }
                    bytes
                }
            ),
        ]
        .boxed(),
        Format::Safetensors => prop_oneof![
            1 => noise.clone(),
            2 => noise.prop_map(|noise| {
                let length = (noise.len() as u64 + 1).to_le_bytes();
                [&length[..], b"{", &noise].concat()
            }),
            4 => vec(prop_oneof![select(&JSON[..]).prop_map(str::to_owned), "[a-z\"]{0,6}", Just(":".to_owned())], 0..60)
                .prop_map(|words| {
                    let json = format!("{{{}", words.concat());
                    [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
                }),
        ]
        .boxed(),
    }
}

/// What holds for any bytes. Says "Ok" or the error's variant.
fn check(format: Format, bytes: &[u8], cuts: &[usize], file_len: Option<u64>) -> Result<String, TestCaseError> {
    let whole = read(format, bytes, file_len, &[]);
    let cut = read(format, bytes, file_len, cuts);
    // Compared as text: a NaN in the metadata is not equal to itself.
    prop_assert_eq!(format!("{:?}", &whole), format!("{:?}", &cut));

    let mut counter = Counter::default();
    let info = measure(|| {
        let mut stream = format.stream(file_len);
        let result = stream.push(bytes, &mut counter).and_then(|()| stream.finish());
        drop(result);
    });
    // The constant is for the error's text and the first nodes and slots of maps and vectors.
    let most = 16 * bytes.len() as u64 + 8192;
    prop_assert!(info.bytes_max <= most, "{} bytes allocated for {}", info.bytes_max, bytes.len());

    match whole {
        Ok((header, recorder)) => {
            check_header(&header, bytes)?;
            for (tensor, data) in header.tensors.iter().zip(&recorder.data) {
                prop_assert_eq!(data, &bytes[tensor.start as usize..tensor.end() as usize]);
            }
            Ok("Ok".to_owned())
        }
        Err(error) => {
            prop_assert!(error.to_string().contains(format.file()), "{error} doesn't name the file");
            Ok(variant(&error))
        }
    }
}

fn check_header(header: &Header, bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut end = 0;
    for tensor in &header.tensors {
        prop_assert!(tensor.start >= end && tensor.end() <= bytes.len() as u64, "{tensor:?}");
        prop_assert_eq!(tensor.elements() / tensor.dtype.block_len() * tensor.dtype.block_bytes(), tensor.bytes);
        end = tensor.end();
    }
    Ok(())
}

fn variant(error: &FormatError) -> String {
    format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
}

fn seconds() -> u64 {
    std::env::var("TILEWRIGHT_FUZZ_SECONDS").map_or(60, |text| {
        text.parse().unwrap_or_else(|_| panic!("TILEWRIGHT_FUZZ_SECONDS is {text:?}, not a number of seconds"))
    })
}

fn fuzz(format: Format, valid: BoxedStrategy<Vec<u8>>, least_variants: usize) {
    let persistence = FileFailurePersistence::Direct("tests/reading/fuzz.regressions");
    let config = Config {
        cases: 500,
        failure_persistence: Some(Box::new(persistence)),
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let file = prop_oneof![
        3 => (valid, mutations()).prop_map(|(bytes, mutations)| mutate(bytes, &mutations)),
        1 => random(format),
    ];
    let input = (file, vec(any::<Index>(), 0..6), any::<bool>());
    let outcomes = RefCell::new(BTreeMap::<String, u64>::new());
    let end = Instant::now() + Duration::from_secs(seconds());
    while Instant::now() < end {
        // A runner counts its cases once and for all, so each batch has a new one.
        let result = TestRunner::new(config.clone()).run(&input, |(bytes, cuts, known)| {
            let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            let outcome = check(format, &bytes, &cuts, known.then_some(bytes.len() as u64))?;
            *outcomes.borrow_mut().entry(outcome).or_default() += 1;
            Ok(())
        });
        if let Err(failure) = result {
            panic!("{failure}");
        }
    }
    let outcomes = outcomes.into_inner();
    println!("{format:?}: {} files: {outcomes:?}", outcomes.values().sum::<u64>());
    // A fuzzer that reaches only the first check tests nothing.
    if seconds() > 0 {
        assert!(outcomes.contains_key("Ok") && outcomes.len() >= least_variants, "only {outcomes:?} was reached");
    }
}

#[test]
fn no_bytes_make_the_gguf_reader_panic_or_take_memory() {
    fuzz(Format::Gguf, valid_files::gguf().prop_map(|file| file.bytes).boxed(), 15);
}

#[test]
fn no_bytes_make_the_safetensors_reader_panic_or_take_memory() {
    fuzz(Format::Safetensors, valid_files::safetensors().prop_map(|file| file.bytes).boxed(), 8);
}
