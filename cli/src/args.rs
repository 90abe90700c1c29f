//! What may be typed.

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use tilewright_engine::model::shapes::SHAPES;

/// Run language models on your GPU or CPU: any GGUF or Hugging Face safetensors of a supported family.
#[derive(Debug, Parser)]
#[command(name = "tilewright", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Continue a text, answer messages, or continue token ids.
    Generate(Generate),
    /// Write the logits of every position to a safetensors file.
    Logits(Logits),
    /// Talk to a model.
    Chat(Chat),
    /// Time a model, or a model's shape with made-up weights.
    Bench(Bench),
    /// Race kernel variants on this GPU.
    Tune(Tune),
    /// Say what a model is and what memory it needs.
    Info(Info),
    /// Look into files of measurements: show, check, merge, compare.
    #[command(subcommand)]
    Db(Db),
}

/// Which model, and where it runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelArgs {
    /// A GGUF file, or a folder in Hugging Face layout.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: PathBuf,
    /// Where to compute; by default a GPU if there is a real one.
    #[arg(long)]
    pub(crate) device: Option<DeviceKind>,
    /// Only a GPU whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub(crate) adapter: Option<String>,
    /// Most tokens of a sequence; by default what the model was trained for, memory permitting.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) context: Option<u32>,
    /// Memory for keys and values, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub(crate) kv_mib: u64,
    /// Threads on the CPU; by default one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceKind {
    /// Through Vulkan, Metal or D3D12.
    Gpu,
    /// The processor.
    Cpu,
    /// The processor, by the kernels that the others are compared with: slow.
    CpuReference,
}

/// How tokens are drawn.
#[derive(Clone, Debug, Args)]
pub(crate) struct SamplingArgs {
    /// 0 always takes the most likely token.
    #[arg(long, value_name = "T")]
    pub(crate) temperature: Option<f32>,
    /// Only the smallest set of most likely tokens with this probability together.
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f32>,
    /// Only the K most likely tokens.
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<u32>,
    /// Only tokens at least this many times as likely as the most likely one.
    #[arg(long, value_name = "P")]
    pub(crate) min_p: Option<f32>,
    /// Makes tokens that were seen less likely.
    #[arg(long, value_name = "FACTOR")]
    pub(crate) repetition_penalty: Option<f32>,
    /// The same seed gives the same answer.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) input: GenerateInput,
    /// Most tokens to generate.
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) max_tokens: u32,
    /// How tokens are drawn; without --temperature, greedily.
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    /// Ends the answer; may be given several times.
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Go on after the model's own end token.
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// Print one JSON object instead of streaming text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct GenerateInput {
    /// Raw text, continued as it is.
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,
    /// A JSON list of messages, put through the chat template.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) messages: Option<PathBuf>,
    /// Token ids, continued as they are.
    #[arg(long, value_name = "1,2,3", value_delimiter = ',')]
    pub(crate) ids: Option<Vec<u32>>,
}

#[derive(Debug, Args)]
pub(crate) struct Logits {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Token ids.
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', required = true)]
    pub(crate) ids: Vec<u32>,
    /// Where `logits`, f32 [N, V], are written.
    #[arg(long, value_name = "FILE.safetensors")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// What the model is told first.
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Most tokens of an answer; by default as many as there is room for.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) what: BenchTarget,
    /// Where to compute; by default a GPU if there is a real one.
    #[arg(long)]
    pub(crate) device: Option<DeviceKind>,
    /// Only a GPU whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub(crate) adapter: Option<String>,
    /// Memory for keys and values, in MiB; by default what the runs need.
    #[arg(long, value_name = "MIB")]
    pub(crate) kv_mib: Option<u64>,
    /// Most rows of a step; by default what suits the device.
    #[arg(long, value_name = "ROWS")]
    pub(crate) max_rows: Option<u32>,
    /// Threads on the CPU; by default one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Tokens of each prompt.
    #[arg(long, value_name = "N", default_value_t = 480)]
    pub(crate) prompt: u32,
    /// Tokens that each sequence decodes.
    #[arg(long = "gen", value_name = "N", default_value_t = 128)]
    pub(crate) generate: u32,
    /// Numbers of sequences at once, each a run of its own.
    #[arg(long, value_name = "1,8,32", value_delimiter = ',', default_value = "1")]
    pub(crate) concurrency: Vec<u32>,
    /// How often each is run; the median is quoted.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) repeats: u32,
    /// Draw tokens at this temperature; 0 takes the most likely.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub(crate) temperature: f32,
    /// Draw from so many of the most likely tokens; 0 from all.
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub(crate) top_k: u32,
    /// Draw from the most likely tokens with so much probability.
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub(crate) top_p: f32,
    /// Time every kernel; slows the steps themselves down.
    #[arg(long)]
    pub(crate) profile: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct BenchTarget {
    /// A GGUF file, or a folder in Hugging Face layout.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// The sizes of a well-known model, with random 4-bit weights.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(SHAPES.map(|shape| shape.name)))]
    pub(crate) shape: Option<String>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Tune {
    #[command(flatten)]
    pub(crate) what: BenchTarget,
    /// A file of measurements that is read first and then added to.
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
    /// Seconds that the GPU may be kept busy by searching.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) budget: f64,
    /// Try every variant of every operation, however long that takes.
    #[arg(long)]
    pub(crate) exhaustive: bool,
    /// Measure anew what was measured on this GPU before.
    #[arg(long)]
    pub(crate) again: bool,
    /// Only the operations with the largest share of each phase.
    #[arg(long, value_name = "N")]
    pub(crate) ops: Option<usize>,
    /// Only these phases: 0 is one answer, 1 reading a prompt, 2 eight answers at once, 3 thirty-two.
    #[arg(long, value_name = "0,1", value_delimiter = ',')]
    pub(crate) phases: Vec<usize>,
    /// Only a GPU whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub(crate) adapter: Option<String>,
    /// Begin without what comes with the package.
    #[arg(long)]
    pub(crate) from_nothing: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A GGUF file, or a folder in Hugging Face layout.
    #[arg(long, value_name = "PATH")]
    pub(crate) model: PathBuf,
    /// Most tokens of a sequence; by default what the model was trained for.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) context: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with tuning databases.
#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// What was measured, the fastest variant of everything, and tokens/s before and after tuning.
    Show {
        /// Tuning databases, shown as one.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Fail if a file, or anything in one, would not be imported.
    Check {
        /// Tuning databases.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Put everything that some files know into one.
    Merge {
        /// Tuning databases.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where the result is written; may be one of the files.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Where the fastest variants of two files differ, and by how much.
    Diff {
        /// What to compare with.
        #[arg(value_name = "BEFORE")]
        before: PathBuf,
        /// What to compare.
        #[arg(value_name = "AFTER")]
        after: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn generate_takes_exactly_one_kind_of_input() {
        let parse = |words: &str| Arguments::try_parse_from(words.split(' ')).is_ok();
        assert!(parse("tilewright generate --model m.gguf --ids 1,2,3"));
        assert!(parse("tilewright generate --model m.gguf --prompt x --device cpu --json"));
        assert!(!parse("tilewright generate --model m.gguf"));
        assert!(!parse("tilewright generate --model m.gguf --prompt x --ids 1"));
        assert!(!parse("tilewright generate --model m.gguf --ids 1,x"));
    }

    #[test]
    fn bench_takes_a_model_or_a_known_shape() {
        let parse = |words: &str| Arguments::try_parse_from(words.split(' ')).is_ok();
        assert!(parse("tilewright bench --model m.gguf --concurrency 1,8,32 --json"));
        assert!(parse("tilewright bench --shape qwen2-0.5b --prompt 480 --gen 128"));
        assert!(parse("tilewright bench --model m.gguf --device cpu --threads 1"));
        assert!(!parse("tilewright bench --model m.gguf --device cpu --threads 0"));
        assert!(!parse("tilewright bench"));
        assert!(!parse("tilewright bench --shape gpt-5"));
        assert!(!parse("tilewright bench --shape qwen2-0.5b --model m.gguf"));
    }
}
