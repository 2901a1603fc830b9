//! The filter `tojson` of Transformers, which is Python's `json.dumps` and not Jinja's own: nothing is escaped for HTML.

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind};

use super::{json::HugeInteger, python};

/// Values nest no deeper than this; a template can nest what it builds itself without end.
const MAX_DEPTH: usize = 110;

/// `value | tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(crate) fn tojson(value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let (positional, named): (&[Value], Kwargs) = from_args(&args)?;
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    if positional.len() > names.len() {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut options = [const { None }; 4];
    for (index, name) in names.into_iter().enumerate() {
        let value: Option<Value> = match positional.get(index) {
            Some(value) => Some(value.clone()),
            None => named.get(name)?,
        };
        options[index] = value.filter(|value| !value.is_none());
    }
    named.assert_all_used()?;
    let [ensure_ascii, indent, separators, sort_keys] = options;
    let indent = indent.map(indentation).transpose()?;
    let separators = separators.map(pair).transpose()?;

    let item_end = if indent.is_some() { "," } else { ", " };
    let (item_end, key_end) = separators.unwrap_or((item_end.to_owned(), ": ".to_owned()));
    let mut writer = Writer {
        out: String::new(),
        ascii: ensure_ascii.is_some_and(|flag| flag.is_true()),
        sorted: sort_keys.is_some_and(|flag| flag.is_true()),
        indent,
        item_end,
        key_end,
    };
    writer.value(value, 0)?;
    Ok(writer.out)
}

/// An indent is a number of spaces, or a text; a negative number means none.
fn indentation(indent: Value) -> Result<String, Error> {
    if let Some(text) = indent.as_str() {
        return Ok(text.to_owned());
    }
    let spaces = i64::try_from(indent)?.max(0);
    match usize::try_from(spaces) {
        Ok(spaces) if spaces <= 64 => Ok(" ".repeat(spaces)),
        _ => Err(refused("tojson's indent is above 64")),
    }
}

fn pair(separators: Value) -> Result<(String, String), Error> {
    let parts: Vec<Value> = separators.try_iter()?.collect();
    match parts.as_slice() {
        [item, key] => Ok((item.to_string(), key.to_string())),
        _ => Err(refused(
            "tojson's separators must be a pair, one between items and one after a key",
        )),
    }
}

fn refused(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

struct Writer {
    out: String,
    /// Whether everything beyond ASCII is written as `\uXXXX`.
    ascii: bool,
    sorted: bool,
    /// What each level is indented by; absent: everything on one line.
    indent: Option<String>,
    item_end: String,
    key_end: String,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(refused(format!(
                "tojson: nested deeper than {MAX_DEPTH} levels"
            )));
        }
        match value.kind() {
            ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                self.out.push_str(&scalar(value));
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.collect::<Vec<_>>();
                self.enclosed('[', ']', items.iter(), depth, |writer, item| {
                    writer.value(item, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut members = Vec::new();
                for key in value.try_iter()? {
                    members.push((key_text(&key)?, value.get_item(&key)?));
                }
                if self.sorted {
                    // Python compares texts by code point, which is UTF-8's byte order.
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.enclosed('{', '}', members.iter(), depth, |writer, (key, value)| {
                    writer.string(key);
                    writer.out.push_str(&writer.key_end.clone());
                    writer.value(value, depth + 1)
                })?;
            }
            kind => match value.downcast_object_ref::<HugeInteger>() {
                Some(_) => self.out.push_str(&value.to_string()),
                None => return Err(refused(format!("tojson: {kind} has no form in JSON"))),
            },
        }
        Ok(())
    }

    fn enclosed<T>(
        &mut self,
        open: char,
        close: char,
        items: impl ExactSizeIterator<Item = T>,
        depth: usize,
        mut write: impl FnMut(&mut Writer, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        let empty = items.len() == 0;
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push_str(&self.item_end);
            }
            self.line_break(depth + 1);
            write(self, item)?;
        }
        if !empty {
            self.line_break(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line_break(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && c > '~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// A key's text: Python turns numbers, truth values and null into it.
fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None | ValueKind::Bool | ValueKind::Number => Ok(scalar(key)),
        kind => Err(refused(format!("tojson: {kind} cannot be a key"))),
    }
}

/// Null, a truth value or a number.
fn scalar(value: &Value) -> String {
    match value.kind() {
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => value.is_true().to_string(),
        _ => match python::float_of(value) {
            Some(x) if x.is_nan() => "NaN".to_owned(),
            Some(x) if x.is_infinite() => if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
            Some(x) => python::float(x),
            None => value.to_string(),
        },
    }
}
