//! What models of one architecture share, as data.
//!
//! A family lists the tensors that its files hold, with their names in both kinds of file and their shapes, and the steps of
//! one layer. Loading, the step program and memory estimates are all read off this description, so a new family
//! that needs no new kernel is one small file.

use super::ModelConfig;
use std::fmt;

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Role {
    Embedding,
    FinalNorm,
    Head,
    AttentionNorm,
    Query,
    QueryBias,
    Key,
    KeyBias,
    Value,
    ValueBias,
    AttentionOutput,
    AttentionOutputBias,
    FeedForwardNorm,
    Gate,
    GateBias,
    Up,
    UpBias,
    Down,
    DownBias,
    /// Divisors of the rotary frequencies, in GGUF files.
    RopeFactors,
}

/// A tensor of one model: a role, and its layer if it belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightKey {
    /// What it is for.
    pub role: Role,
    /// Its layer.
    pub layer: Option<u32>,
}

impl fmt::Display for WeightKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layer {
            Some(layer) => write!(f, "{:?} of layer {layer}", self.role),
            None => write!(f, "{:?}", self.role),
        }
    }
}

/// A dimension in terms of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Dim {
    Vocabulary,
    Hidden,
    FeedForward,
    QueryWidth,
    KvWidth,
    RotatedPairs,
}

impl Dim {
    /// Its size in one model.
    pub fn size(self, config: &ModelConfig) -> u32 {
        match self {
            Self::Vocabulary => config.vocabulary,
            Self::Hidden => config.hidden,
            Self::FeedForward => config.feed_forward,
            Self::QueryWidth => config.query_width(),
            Self::KvWidth => config.kv_width(),
            Self::RotatedPairs => config.rope.dims / 2,
        }
    }
}

/// When a file has to hold a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Required,
    /// It may.
    Optional,
    /// Unless the head is tied to the embedding, when it is passed over if it is there.
    UnlessTied,
}

/// A tensor that a family's files hold.
#[derive(Clone, Copy, Debug)]
pub struct TensorRule {
    /// What it is for.
    pub role: Role,
    /// Its name in GGUF files; `{}` stands for the layer. Empty: never there.
    pub gguf: &'static str,
    /// Its name in Hugging Face checkpoints; likewise.
    pub hugging_face: &'static str,
    /// `[rows, cols]` of a matrix, `[size]` of a vector.
    pub shape: &'static [Dim],
    /// When it has to be there.
    pub presence: Presence,
}

/// One step of a layer. Steps work on the residual stream and the named activations of the step program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerStep {
    /// Normalizes the residual stream.
    Norm(Role),
    /// Queries, keys and values of the normalized stream, rotated and cached, and attention over the cache.
    Attention,
    /// Projects the attended values and adds them to the residual stream.
    AttentionOutput,
    /// silu(gate) * up, projected down and added to the residual stream.
    GatedFeedForward,
}

/// What models of one architecture share.
#[derive(Debug)]
pub struct Family {
    /// For people.
    pub name: &'static str,
    /// Values of `general.architecture`.
    pub gguf: &'static [&'static str],
    /// Values of `architectures` in config.json.
    pub hugging_face: &'static [&'static str],
    /// Whether GGUF files of it store rotated pairs side by side.
    pub gguf_interleaved_rope: bool,
    /// The tensors.
    pub tensors: &'static [TensorRule],
    /// Parts of names of tensors that some files hold and nobody needs.
    pub ignored: &'static [&'static str],
    /// A layer.
    pub layer: &'static [LayerStep],
}

/// Which of the two naming schemes a file follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Naming {
    Gguf,
    HuggingFace,
}

impl TensorRule {
    /// Its name pattern in a scheme; empty if it never occurs.
    pub fn pattern(&self, naming: Naming) -> &'static str {
        match naming {
            Naming::Gguf => self.gguf,
            Naming::HuggingFace => self.hugging_face,
        }
    }

    /// Its name in a file.
    pub fn name(&self, naming: Naming, layer: Option<u32>) -> String {
        self.pattern(naming).replace("{}", &layer.map(|layer| layer.to_string()).unwrap_or_default())
    }

    /// Whether there is one per layer.
    pub fn per_layer(&self) -> bool {
        self.gguf.contains("{}") || self.hugging_face.contains("{}")
    }
}

impl Family {
    /// The rule that a tensor's name falls under, and its layer.
    pub fn rule(&self, naming: Naming, name: &str) -> Option<(&'static TensorRule, Option<u32>)> {
        self.tensors.iter().find_map(|rule| {
            let pattern = rule.pattern(naming);
            match pattern.split_once("{}") {
                None => (!pattern.is_empty() && pattern == name).then_some((rule, None)),
                Some((before, after)) => {
                    let layer = name.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
                    Some((rule, Some(layer)))
                }
            }
        })
    }
}
