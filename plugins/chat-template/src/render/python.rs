//! Values as Python writes them.

use std::fmt;

use minijinja::value::{Value, ValueKind};

/// Values nest no deeper than this; a template can nest what it builds itself without end.
const MAX_DEPTH: usize = 110;

/// Python's `str` of a value. All but floats, and what holds floats, minijinja writes the same way.
pub(crate) struct Str<'a>(pub(crate) &'a Value);

impl fmt::Display for Str<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            ValueKind::Number | ValueKind::Seq | ValueKind::Map => repr(self.0, 0, formatter),
            _ => self.0.fmt(formatter),
        }
    }
}

fn repr(value: &Value, depth: usize, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if depth > MAX_DEPTH {
        return Err(fmt::Error);
    }
    match value.kind() {
        ValueKind::Number => match float_of(value) {
            Some(x) => out.write_str(&float(x)),
            None => fmt::Display::fmt(value, out),
        },
        ValueKind::Seq => {
            let tuple = value.is_tuple();
            out.write_str(if tuple { "(" } else { "[" })?;
            let items: Vec<Value> = value.try_iter().into_iter().flatten().collect();
            for (index, item) in items.iter().enumerate() {
                out.write_str(if index > 0 { ", " } else { "" })?;
                repr(item, depth + 1, out)?;
            }
            out.write_str(match (tuple, items.len()) {
                (true, 1) => ",)",
                (true, _) => ")",
                (false, _) => "]",
            })
        }
        ValueKind::Map => {
            out.write_str("{")?;
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.write_str(if index > 0 { ", " } else { "" })?;
                repr(&key, depth + 1, out)?;
                out.write_str(": ")?;
                repr(&value.get_item(&key).unwrap_or_default(), depth + 1, out)?;
            }
            out.write_str("}")
        }
        _ => fmt::Debug::fmt(value, out),
    }
}

/// The number, if it is a float and not an integer.
pub(crate) fn float_of(value: &Value) -> Option<f64> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return None;
    }
    f64::try_from(value.clone()).ok()
}

/// Python's `repr` of a float: the shortest digits that read back as `x`, an exponent below 1e-4 and from 1e16 on.
pub(crate) fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("the format with `e` always writes an exponent");
    let exponent: i32 = exponent
        .parse()
        .expect("an f64's exponent is at most 308 either way");
    if (-4..16).contains(&exponent) {
        return format!("{x:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5e-3, "-0.0025"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (123456789012345.6, "123456789012345.6"),
            (1e15, "1000000000000000.0"),
            (9999999999999998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (12345678901234567890.0, "1.2345678901234567e+19"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (x, python) in cases {
            assert_eq!(float(x), python);
        }
    }
}
