//! Records made up for tests: by hand, and by proptest.
#![allow(dead_code, missing_docs, unreachable_pub)]

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use tilewright_tuning_db::*;

pub fn shape() -> Shape {
    let words = ["matmul", "q4_1", "f32"].map(str::to_owned);
    let [op, quantization, dtype] = words;
    Shape { op, quantization, dtype, n: 4864, k: 896, m: 1, extents: [].into() }
}

pub fn variant(threads: i64) -> Variant {
    let parameters = [("threads".to_owned(), ParameterValue::Number(threads))].into();
    Variant { kernel: "matvec".to_owned(), parameters }
}

pub fn device(vendor: &str, architecture: &str, description: &str) -> Device {
    let [vendor, architecture, description] = [vendor, architecture, description].map(str::to_owned);
    Device { vendor, architecture, description, ..Device::default() }
}

pub fn browser(name: &str, version: &str) -> Browser {
    Browser { name: name.to_owned(), version: version.to_owned(), os: "Linux".to_owned() }
}

pub fn h100() -> Device {
    device("nvidia", "hopper", "NVIDIA H100 80GB HBM3")
}

pub fn chromium() -> Browser {
    browser("Chromium", "156")
}

/// `matvec` as of today.
pub fn kernels() -> Kernels {
    [("matvec", "today")].into_iter().collect()
}

/// A measurement on the H100 in Chromium: `threads` of `matvec`, three samples around `time_ns`.
pub fn measured(threads: i64, time_ns: f64) -> Record {
    Record {
        device: h100(),
        browser: chromium(),
        method: Method { clock: Clock::Timestamp, slope: true, repetitions: 8, ..Method::default() },
        samples_ns: vec![time_ns * 1.01, time_ns, time_ns * 0.99],
        error: Some(TwinError::new(1e-5, 1e-6, 1e-3)),
        ..Record::new(variant(threads), "today".to_owned(), shape(), Outcome::Ok, 1_000)
    }
}

pub fn entry(record: Record, provenance: Provenance) -> Entry {
    Entry::new(Item::Record(record), provenance).unwrap()
}

pub fn database(entries: impl IntoIterator<Item = Entry>) -> Database {
    let mut database = Database::default();
    for entry in entries {
        database.insert(entry);
    }
    database
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-z0-9_.-]{0,6}", "[^\\p{Cc}]{1,8}"]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), word()]
}

/// One of few, so that keys meet.
fn of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

pub fn parameter() -> impl Strategy<Value = ParameterValue> {
    prop_oneof![
        any::<bool>().prop_map(ParameterValue::Flag),
        any::<i64>().prop_map(ParameterValue::Number),
        name().prop_map(ParameterValue::Word),
    ]
}

pub fn any_variant() -> impl Strategy<Value = Variant> {
    let kernel = of(&["matvec", "matmul"]);
    let parameters = btree_map(of(&["threads", "tile_m", "subgroups", "ü"]), parameter(), 0..4);
    (kernel, parameters).prop_map(|(kernel, parameters)| Variant { kernel, parameters })
}

pub fn any_shape() -> impl Strategy<Value = Shape> {
    let words = (of(&["matmul", "attention"]), of(&["", "q4_1"]), of(&["", "f32"]));
    let extents = btree_map(of(&["head_dim", "heads_per_kv"]), any::<u32>(), 0..3);
    (words, any::<(u32, u32)>(), 0..32_u32, extents).prop_map(|(words, (n, k), log_m, extents)| {
        let (op, quantization, dtype) = words;
        Shape { op, quantization, dtype, n, k, m: 1 << log_m, extents }
    })
}

pub fn any_device() -> impl Strategy<Value = Device> {
    let names = (of(&["", "nvidia", "amd"]), of(&["", "hopper", "rdna-3"]), of(&["", "0x2330"]), name());
    (names, any::<(u16, u16)>(), btree_set(word(), 0..4), name()).prop_map(
        |((vendor, architecture, device, description), (a, b), features, limits_digest)| {
            let (subgroup_min, subgroup_max) = (u32::from(a.min(b)), u32::from(a.max(b)));
            Device { vendor, architecture, device, description, subgroup_min, subgroup_max, features, limits_digest }
        },
    )
}

pub fn any_browser() -> impl Strategy<Value = Browser> {
    (of(&["Chromium", "Firefox", ""]), of(&["156", "157"]), of(&["Linux", ""]))
        .prop_map(|(name, version, os)| Browser { name, version, os })
}

fn samples() -> impl Strategy<Value = Vec<f64>> {
    vec(prop_oneof![1e-3..1e12_f64, Just(f64::MIN_POSITIVE), Just(1e12)], 0..6)
}

fn method() -> impl Strategy<Value = Method> {
    let clock = prop_oneof![Just(Clock::Timestamp), Just(Clock::Wall)];
    (clock, any::<(bool, u32, bool, bool)>()).prop_map(|(clock, (slope, repetitions, cold_weights, interleaved))| {
        Method { clock, slope, repetitions, cold_weights, interleaved }
    })
}

fn twin_error() -> impl Strategy<Value = TwinError> {
    let number = prop_oneof![0.0..1e3_f64, Just(f64::NAN), Just(f64::INFINITY)];
    (number.clone(), number, 0.0..1.0_f64).prop_map(|(a, r, tolerance)| TwinError::new(a, r, tolerance))
}

pub fn any_record() -> impl Strategy<Value = Record> {
    let what = (name(), any_variant(), of(&["today", "yesterday"]), any_shape());
    let dtypes = (name(), name(), name(), name()).prop_map(|(input, weights, accumulate, output)| Dtypes {
        input,
        weights,
        accumulate,
        output,
    });
    let how = (method(), 0.0..1e6_f64, samples(), proptest::option::of(twin_error()));
    let outcome = prop_oneof![Just(Outcome::Ok), Just(Outcome::Wrong), Just(Outcome::Refused), Just(Outcome::Timeout)];
    (what, dtypes, any_device(), any_browser(), how, outcome, name(), 0..8_640_000_000_000_000_u64).prop_map(
        |((engine, variant, hash, shape), dtypes, device, browser, how, outcome, note, taken_at_ms)| {
            let (method, timer_quantum_ns, samples_ns, error) = how;
            let record = Record::new(variant, hash, shape, outcome, taken_at_ms);
            Record { engine, dtypes, device, browser, method, timer_quantum_ns, samples_ns, error, note, ..record }
        },
    )
}

fn speeds() -> impl Strategy<Value = Speeds> {
    let side = || vec(1e-3..1e6_f64, 1..4);
    (any::<(u32, u32)>(), side(), side()).prop_map(|((tokens, sequences), before, after)| Speeds {
        tokens,
        sequences,
        before_tokens_per_s: before,
        after_tokens_per_s: after,
    })
}

pub fn any_trial() -> impl Strategy<Value = Trial> {
    let change = (any_shape(), any_variant(), any_variant(), of(&["today", "yesterday"]))
        .prop_map(|(shape, from, to, source_hash)| Change { shape, from, to, source_hash });
    let verdict = prop_oneof![Just(Verdict::Kept), Just(Verdict::Reverted)];
    let runs = (speeds(), proptest::option::of(speeds()));
    (name(), word(), any_device(), any_browser(), vec(change, 0..3), runs, verdict, 0..9_999_999_999_u64).prop_map(
        |(engine, model, device, browser, changes, (decode, prefill), verdict, taken_at_ms)| {
            let decode = Some(decode);
            Trial { schema: SCHEMA, engine, model, device, browser, changes, decode, prefill, verdict, taken_at_ms }
        },
    )
}

pub fn any_entry() -> impl Strategy<Value = Entry> {
    let item = prop_oneof![4 => any_record().prop_map(Item::Record), 1 => any_trial().prop_map(Item::Trial)];
    let provenance = prop_oneof![Just(Provenance::MeasuredHere), Just(Provenance::BuiltIn), Just(Provenance::Imported)];
    (item, provenance).prop_map(|(item, provenance)| Entry::new(item, provenance).unwrap())
}

/// Three databases that have some entries in common, with other provenances.
pub fn overlapping() -> impl Strategy<Value = [Database; 3]> {
    let provenance =
        || prop_oneof![Just(Provenance::MeasuredHere), Just(Provenance::BuiltIn), Just(Provenance::Imported)];
    let pool = vec(any_entry(), 0..8);
    let picks = vec((0..3_usize, any::<proptest::sample::Index>(), provenance()), 0..24);
    (pool, picks).prop_map(|(pool, picks)| {
        let mut databases = [const { None }; 3].map(|_: Option<()>| Database::default());
        for (which, index, provenance) in picks {
            if !pool.is_empty() {
                databases[which].insert(Entry { provenance, ..index.get(&pool).clone() });
            }
        }
        databases
    })
}
