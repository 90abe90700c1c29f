//! A checkpoint as safetensors and as GGUF is the same model.

use tilewright_engine::LoadOptions;
use tilewright_formats::DType;
use tilewright_tests::drive::Driver;
use tilewright_tests::fixture::{self, assert_close};
use tilewright_tests::model::{cpu, lavapipe, open_gguf};
use tilewright_tests::twin::as_gguf;

#[test]
fn a_checkpoint_as_gguf_gives_the_reference_logits_too() {
    for name in ["llama", "llama3-rope"] {
        let file = as_gguf(name, DType::Bf16, |_, _| ());
        let expected = fixture::expected(name);
        for (device, label) in [(cpu(), "cpu"), (lavapipe(), "lavapipe")] {
            let mut driver = Driver::new(open_gguf(&file, device, LoadOptions::default()).executor);
            let logits = driver.logits(&expected.prompt_ids, 64);
            assert_close(&format!("{name} as GGUF on {label}"), &logits, &expected.prompt_logits);
        }
    }
}
