//! `tilewright chat`: an interactive chat in the terminal.

use crate::args::Chat;
use crate::error::CliError;
use crate::generate::print_text;
use crate::{interrupt, open};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use serde_json::{Map, Value, json};
use tilewright_host::Endpoint;

const HELP: &str =
    "Type a message; a \\ at a line's end goes on in the next. Ctrl-C stops an answer, Ctrl-D or /quit leaves.
/new forgets the conversation, /system TEXT sets what the model is told first, /help prints this.";

/// Reads messages and streams answers until the input ends.
pub(crate) async fn run(command: Chat) -> Result<(), CliError> {
    let mut service = open::service(&command.model).await?;
    println!("{} on {}, {} tokens of context", service.model().id(), service.device(), service.max_context());
    println!("{HELP}\n");
    let mut editor = DefaultEditor::new()?;
    let mut system = command.system.clone();
    let mut turns: Vec<Value> = Vec::new();
    loop {
        let line = match read(&mut editor) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return Ok(()),
            "/help" => println!("{HELP}\n"),
            "/new" => turns.clear(),
            command if command.starts_with("/system") => {
                let text = command.trim_start_matches("/system").trim();
                system = (!text.is_empty()).then(|| text.to_owned());
            }
            command if command.starts_with('/') => println!("there is no {command}; /help lists what there is\n"),
            text => {
                editor.add_history_entry(text)?;
                turns.push(json!({ "role": "user", "content": text }));
                let body = body(&command, system.as_deref(), &turns);
                let mut answer = String::new();
                let print = |chunk| answer += &print_text(&chunk);
                let result =
                    service.complete(Endpoint::ChatCompletions, body, interrupt::pressed(), open::clock, print).await;
                println!();
                match result {
                    Ok(completed) => {
                        turns.push(json!({ "role": "assistant", "content": answer }));
                        if let Some(speed) = completed.report.timings.decode_tokens_per_s {
                            println!("[{} tokens, {speed:.1} tokens/s]", completed.report.output.len());
                        }
                        println!();
                    }
                    Err(error) => {
                        turns.pop();
                        println!("error: {error}\n");
                    }
                }
            }
        }
    }
}

fn read(editor: &mut DefaultEditor) -> Result<String, ReadlineError> {
    let mut text = editor.readline("> ")?;
    while text.ends_with('\\') {
        text.pop();
        text.push('\n');
        text += &editor.readline(". ")?;
    }
    Ok(text)
}

fn body(command: &Chat, system: Option<&str>, turns: &[Value]) -> Value {
    let mut body = Map::new();
    let first = system.map(|text| json!({ "role": "system", "content": text }));
    body.insert("messages".into(), first.into_iter().chain(turns.iter().cloned()).collect::<Vec<_>>().into());
    body.insert("stream".into(), true.into());
    if let Some(max_tokens) = command.max_tokens {
        body.insert("max_tokens".into(), max_tokens.into());
    }
    open::add_sampling(&mut body, &command.sampling);
    body.into()
}
