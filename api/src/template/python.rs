//! What templates expect of Python and of `transformers`: methods of its types, JSON as its `json` writes it, its names
//! for true and none, a clock, and a way to refuse.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use thiserror::Error;

/// Deeper values than any chat has aren't written as JSON.
const MAX_DEPTH: usize = 64;

/// What a template said in `raise_exception`.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// Adds functions, filters, methods and ways of printing.
pub(super) fn add_to(environment: &mut Environment<'_>, local_time_s: Option<i64>) {
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|out, state, value| match (value.kind(), value.is_true()) {
        (ValueKind::Bool, true) => Ok(out.write_str("True")?),
        (ValueKind::Bool, false) => Ok(out.write_str("False")?),
        (ValueKind::None, _) => Ok(out.write_str("None")?),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_filter("tojson", |state: &State, value: &Value, indent: Option<Value>, arguments: Kwargs| {
        to_json(state, value, indent, &arguments)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Refused(message)))
    });
    if let Some(local_time_s) = local_time_s {
        environment.add_function("strftime_now", move |format: &str| strftime(local_time_s, format));
    }
}

/// JSON to a template's value; objects keep their order.
pub(super) fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(bool) => Value::from(*bool),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Value::from(integer),
            (None, Some(integer)) => Value::from(integer),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(fields) => Value::from_pairs(fields.iter().map(|(name, json)| (name.clone(), value(json)))),
    }
}

/// `strftime`, by the directives of C and Python.
fn strftime(local_time_s: i64, format: &str) -> Result<String, Error> {
    let failed = |error: jiff::Error| Error::new(ErrorKind::InvalidOperation, format!("strftime_now: {error}"));
    let time = jiff::Timestamp::from_second(local_time_s).map_err(failed)?;
    jiff::fmt::strtime::format(format, &time.to_zoned(jiff::tz::TimeZone::UTC)).map_err(failed)
}

/// Jinja's own `tojson` escapes for HTML; that of `transformers` is `json.dumps(x, ensure_ascii=False)` with its
/// arguments.
fn to_json(state: &State, value: &Value, indent: Option<Value>, arguments: &Kwargs) -> Result<Value, Error> {
    let indent: Option<Value> = match indent {
        Some(indent) => Some(indent),
        None => arguments.get("indent")?,
    };
    let indent = indent.filter(|indent| !indent.is_none()).map(usize::try_from).transpose()?;
    let separators: Option<Vec<String>> = arguments.get("separators")?;
    let (item, key) = match separators.as_deref() {
        None => (if indent.is_some() { "," } else { ", " }, ": "),
        Some([item, key]) => (item.as_str(), key.as_str()),
        Some(_) => return Err(Error::new(ErrorKind::InvalidOperation, "tojson: separators has to be a pair")),
    };
    let writer = JsonWriter {
        state,
        indent: indent.map(|width| width.min(16)),
        item,
        key,
        sort_keys: arguments.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        ensure_ascii: arguments.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
    };
    arguments.assert_all_used()?;
    let mut out = String::new();
    writer.write(&mut out, value, 0)?;
    Ok(Value::from(out))
}

struct JsonWriter<'a> {
    state: &'a State<'a, 'a>,
    indent: Option<usize>,
    item: &'a str,
    key: &'a str,
    sort_keys: bool,
    ensure_ascii: bool,
}

impl JsonWriter<'_> {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        let unserializable =
            |what: &str| Error::new(ErrorKind::InvalidOperation, format!("tojson: {what} is not JSON"));
        if depth > MAX_DEPTH {
            return Err(unserializable("so deep a value"));
        }
        self.state.consume_fuel(1)?;
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => out.push_str(&value.to_string()),
            ValueKind::Number => out.push_str(&float(f64::try_from(value.clone())?)),
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                self.state.consume_fuel((text.len() / 16) as u64)?;
                self.string(out, text);
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(out, ('[', ']'), items.len(), depth, |out, index| match items.get(index) {
                    Some(item) => self.write(out, item, depth + 1),
                    None => Ok(()),
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.list(out, ('{', '}'), keys.len(), depth, |out, index| {
                    let Some(key) = keys.get(index) else { return Ok(()) };
                    self.string(out, &key.as_str().map_or_else(|| key.to_string(), str::to_owned));
                    out.push_str(self.key);
                    self.write(out, &value.get_item(key)?, depth + 1)
                })?;
            }
            kind => return Err(unserializable(&kind.to_string())),
        }
        Ok(())
    }

    fn list(
        &self,
        out: &mut String,
        (open, close): (char, char),
        len: usize,
        depth: usize,
        mut write: impl FnMut(&mut String, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for index in 0..len {
            if index > 0 {
                out.push_str(self.item);
            }
            self.line(out, depth + 1);
            write(out, index)?;
        }
        if len > 0 {
            self.line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn line(&self, out: &mut String, depth: usize) {
        if let Some(width) = self.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', width * depth));
        }
    }

    fn string(&self, out: &mut String, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        if !self.ensure_ascii {
            out.push_str(&quoted);
            return;
        }
        for char in quoted.chars() {
            if char.is_ascii() {
                out.push(char);
            } else {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out.push_str("\\u");
                    out.extend(
                        [12, 8, 4, 0].iter().filter_map(|shift| char::from_digit(u32::from(*unit) >> shift & 0xf, 16)),
                    );
                }
            }
        }
    }
}

/// `repr` of a Python float: 1e16 is `1e+16`, 0.00001 is `1e-05`.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = number.abs();
    if magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_printed_as_python_prints_them() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-5, "1.5e-05"),
            (-2e300, "-2e+300"),
            (0.0001, "0.0001"),
        ];
        for (number, expected) in cases {
            assert_eq!(float(number), expected);
        }
    }

    #[test]
    fn dates_are_formatted_from_the_time_that_is_given() {
        // 2026-11-22 15:05:09
        assert_eq!(
            strftime(1_795_359_909, "%d %b %Y, %-d %B %H:%M:%S %A").unwrap(),
            "22 Nov 2026, 22 November 15:05:09 Sunday"
        );
        assert!(strftime(0, "%Q").is_err() || strftime(0, "%!").is_err());
        assert!(strftime(i64::MAX, "%d").is_err());
    }
}
