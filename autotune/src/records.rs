//! What the tuning database is told: the engine's operations and variants by value, and where they were measured.

use crate::race::{Entry, Outcome, Race};
use tilewright_engine::Gpu;
use tilewright_engine::gpu::trial::ProductForm;
use tilewright_engine::gpu::tuned_op::{HeadsOp, ProductOp, QuantizeOp, TunedOp};
use tilewright_engine::kernels::KernelVariant;
use tilewright_engine::kernels::source::{kernels, source_hash};
use tilewright_engine::weights::WeightFormat;
use tilewright_tuning_db as db;
use tilewright_tuning_db::{Clock, Kernels, Method, Record, TwinError, Variant};

/// Where something is measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The GPU.
    pub device: db::Device,
    /// What runs the kernels on it.
    pub browser: db::Browser,
    /// Smallest step of the clock that times them, nanoseconds.
    pub timer_quantum_ns: f64,
}

impl Place {
    /// This computer without a browser.
    pub fn native(gpu: &Gpu) -> Self {
        let info = gpu.adapter();
        let vendor = match info.vendor {
            0x10de => "nvidia".to_owned(),
            0x1002 => "amd".to_owned(),
            0x8086 => "intel".to_owned(),
            0x106b => "apple".to_owned(),
            0x10005 => "mesa".to_owned(),
            0x1ae0 => "google".to_owned(),
            other => format!("{other:#x}"),
        };
        let device = db::Device {
            vendor,
            architecture: String::new(),
            device: format!("{:#x}", info.device),
            description: info.name.clone(),
            subgroup_min: info.subgroup_min_size,
            subgroup_max: info.subgroup_max_size,
            features: gpu.features_in_words().into_iter().collect(),
            limits_digest: digest(&gpu.limits_in_words()),
        };
        let (name, version) = ("native".to_owned(), info.driver_info.clone());
        let browser = db::Browser { name, version, os: std::env::consts::OS.to_owned() };
        Self { device, browser, timer_quantum_ns: 1.0 }
    }
}

/// A text by sixteen letters that no other text has: FNV-1a, 64 bits (Fowler, Noll, Vo 1991).
pub fn digest(text: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The kernels of this engine.
pub fn current_kernels() -> Kernels {
    kernels().filter_map(|kernel| Some((kernel, source_hash(kernel)?))).collect()
}

/// A variant by value.
pub fn variant(variant: &KernelVariant) -> Variant {
    // Numbers and flags only, which the format has.
    Variant::of(variant).unwrap_or_else(|_| Variant { kernel: variant.kernel().to_owned(), parameters: [].into() })
}

/// How weights are stored, in one word: `q4_32_mins`.
fn quantization(format: WeightFormat) -> String {
    match format.quantization() {
        Some(q) => format!("q{}_{}{}", q.bits, q.group, if q.mins { "_mins" } else { "" }),
        None => format.name().to_owned(),
    }
}

/// An operation by value.
pub fn shape(op: &TunedOp) -> db::Shape {
    let named = |op: &str, m| db::Shape { op: op.to_owned(), dtype: "f32".to_owned(), m, ..db::Shape::default() };
    match *op {
        TunedOp::Product(ProductOp { format, outputs, inputs, rows, form, packed }) => {
            let name = match form {
                ProductForm::Plain => "product",
                ProductForm::Accumulate => "product_accumulate",
                ProductForm::Gate => "product_gate",
                ProductForm::Qkv { .. } => "product_qkv",
                ProductForm::Head => "product_head",
            };
            let mut shape =
                db::Shape { quantization: quantization(format), n: outputs, k: inputs, ..named(name, rows) };
            if packed {
                "i8".clone_into(&mut shape.dtype);
            }
            if let ProductForm::Qkv { heads, kv_heads } = form {
                shape.extents = [("heads".to_owned(), heads), ("kv_heads".to_owned(), kv_heads)].into();
            }
            shape
        }
        TunedOp::AttentionSplit(op) => heads("attention_split", op),
        TunedOp::AttentionTile(op) => heads("attention_tile", op),
        TunedOp::Quantize(QuantizeOp { width, order, norm, silu, rows }) => {
            let name = if norm { "norm_quantize" } else { "quantize" };
            let extents = [("order".to_owned(), order), ("silu".to_owned(), silu.into())].into();
            db::Shape { k: width, extents, ..named(name, rows) }
        }
        TunedOp::RmsNorm { width, rows } => db::Shape { k: width, ..named("rms_norm", rows) },
        TunedOp::SampleScan { vocabulary, rows } => db::Shape { k: vocabulary, ..named("sample_scan", rows) },
    }
}

fn heads(name: &str, op: HeadsOp) -> db::Shape {
    let extents = [
        ("heads", op.heads),
        ("kv_heads", op.kv_heads),
        ("head_dim", op.head_dim),
        ("block_size", op.block_size),
        ("kv_half", op.kv_half.into()),
    ];
    let extents = extents.into_iter().map(|(name, extent)| (name.to_owned(), extent)).collect();
    db::Shape { op: name.to_owned(), dtype: "f32".to_owned(), m: op.rows, extents, ..db::Shape::default() }
}

/// An operation for people: `gate and up [9728, 896], 8 rows`.
pub fn label(op: &TunedOp) -> String {
    let rows = |rows| if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    match *op {
        TunedOp::Product(ProductOp { outputs, inputs, rows: m, form, .. }) => {
            let name = match form {
                ProductForm::Plain => "product",
                ProductForm::Accumulate => "product, added",
                ProductForm::Gate => "gate and up",
                ProductForm::Qkv { .. } => "query, key, value",
                ProductForm::Head => "head",
            };
            format!("{name} [{outputs}, {inputs}], {}", rows(m))
        }
        TunedOp::AttentionSplit(op) => format!("attention by parts, {} heads, {}", op.heads, rows(op.rows)),
        TunedOp::AttentionTile(op) => format!("attention by tiles, {} heads, {}", op.heads, rows(op.rows)),
        TunedOp::Quantize(op) => format!("integers of {}, {}", op.width, rows(op.rows)),
        TunedOp::RmsNorm { width, rows: m } => format!("norm of {width}, {}", rows(m)),
        TunedOp::SampleScan { vocabulary, rows: m } => format!("best of {vocabulary} tokens, {}", rows(m)),
    }
}

/// What a race found out about one candidate.
pub fn record(op: &TunedOp, entry: &Entry, race: &RaceFacts, place: &Place, taken_at_ms: u64) -> Record {
    let kernel = entry.variant.kernel();
    let (outcome, note) = match &entry.outcome {
        Outcome::Ok(_) => (db::Outcome::Ok, String::new()),
        Outcome::Wrong => (db::Outcome::Wrong, String::new()),
        Outcome::Refused(reason) => (db::Outcome::Refused, printable(reason)),
        Outcome::Timeout(us) => (db::Outcome::Timeout, format!("one run took {:.0} ms", us / 1e3)),
        Outcome::Lost => (db::Outcome::Timeout, "the device was lost when it ran for the first time".to_owned()),
    };
    let samples = entry.samples();
    let timed = !samples.is_empty();
    let clock = match (timed, race.has_timestamps) {
        (false, _) => Clock::None,
        (true, true) => Clock::Timestamp,
        (true, false) => Clock::Wall,
    };
    let method = Method {
        clock,
        slope: samples.iter().any(|sample| sample.twice_us.is_some()),
        repetitions: samples.first().map_or(0, |sample| sample.runs),
        cold_weights: timed,
        interleaved: timed,
    };
    let packed = matches!(op, TunedOp::Product(ProductOp { packed: true, .. }));
    let dtypes = db::Dtypes {
        input: if packed { "i8" } else { "f32" }.to_owned(),
        weights: if let TunedOp::Product(op) = op { quantization(op.format) } else { String::new() },
        accumulate: "f32".to_owned(),
        output: "f32".to_owned(),
    };
    let error = entry.error.map(|error| {
        let error = f64::from(error);
        TwinError::new(f64::INFINITY, error, race.tolerance.into())
    });
    Record {
        engine: env!("CARGO_PKG_VERSION").to_owned(),
        dtypes,
        device: place.device.clone(),
        browser: place.browser.clone(),
        method,
        timer_quantum_ns: if timed { place.timer_quantum_ns } else { 0.0 },
        samples_ns: samples.iter().map(|sample| (sample.run_us() * 1e3).round()).collect(),
        error,
        note,
        ..Record::new(variant(&entry.variant), source_hash(kernel).unwrap_or_default(), shape(op), outcome, taken_at_ms)
    }
}

/// What is true of all candidates of a race.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RaceFacts {
    /// Whether times are the GPU's own.
    pub has_timestamps: bool,
    /// Largest error that counts as right.
    pub tolerance: f32,
}

impl From<&Race<'_>> for RaceFacts {
    fn from(race: &Race<'_>) -> Self {
        Self { has_timestamps: race.has_timestamps(), tolerance: race.tolerance() }
    }
}

/// What a driver says, as the format allows it.
fn printable(text: &str) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = text.len().min(1000);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// What is impossible about a variant whatever the device, for files that others made.
///
/// # Errors
/// In words.
pub fn possible(_shape: &db::Shape, variant: &Variant) -> Result<(), String> {
    let variant: KernelVariant = variant.decode().map_err(|error| error.to_string())?;
    // Division by a size that is zero would be the least of it.
    let numbers = serde_json::to_value(variant).unwrap_or_default();
    let fields = numbers.as_object().into_iter().flatten().filter(|(name, _)| *name != "stage");
    if let Some((name, _)) =
        fields.filter_map(|(name, value)| Some((name, value.as_u64()?))).find(|(_, n)| !(1..=4096).contains(n))
    {
        return Err(format!("{name} is out of range"));
    }
    match variant.workgroup_size() {
        1..=1024 => Ok(()),
        size => Err(format!("a workgroup of {size} invocations")),
    }
}
