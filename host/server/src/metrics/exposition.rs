//! The two text formats of metrics, and which of them a client wants.
//!
//! They differ in how a counter is declared (OpenMetrics leaves `_total` to its samples), in that Prometheus' older one has no
//! units, and in OpenMetrics' last line. Samples have the same names in both.

use http::{HeaderMap, header};
use prometheus_client::{encoding::text, registry::Registry};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// Prometheus' own, 0.0.4: what everyone reads.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// OpenMetrics for whoever names it and does not like plain text better; Prometheus asks for it so.
    pub(crate) fn asked_for(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT);
        let accepted: Vec<(&str, f32)> = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(weighted)
            .collect();
        let weight = |wanted: &str| {
            let of_kind = accepted.iter().filter(|(kind, _)| *kind == wanted);
            of_kind.map(|(_, weight)| *weight).fold(0.0, f32::max)
        };
        let open = weight("application/openmetrics-text");
        match open > 0.0 && open >= weight("text/plain") {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    pub(super) fn text(self, registry: &Registry) -> String {
        let mut text = String::new();
        text::encode(&mut text, registry).expect("writing to a string does not fail");
        match self {
            Self::Prometheus => to_prometheus(&text),
            Self::OpenMetrics => text,
        }
    }
}

/// A media type of an `Accept` header and its weight, which is 1 where it says nothing.
fn weighted(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    (kind, weight.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
}

fn to_prometheus(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        // What a metric is stands in the line after its help.
        let declares_counter = [Some(line), lines.peek().copied()]
            .into_iter()
            .flatten()
            .any(|line| line.starts_with("# TYPE ") && line.ends_with(" counter"));
        match line.strip_prefix("# ").filter(|_| declares_counter) {
            Some(declaration) => {
                let mut words = declaration.splitn(3, ' ');
                let mut word = || words.next().unwrap_or_default();
                let (keyword, name, rest) = (word(), word(), word());
                text.extend(["# ", keyword, " ", name, "_total ", rest]);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(accept: &str) -> Exposition {
        let accept = (header::ACCEPT, accept.parse().unwrap());
        Exposition::asked_for(&HeaderMap::from_iter([accept]))
    }

    #[test]
    fn openmetrics_is_for_those_who_name_it_and_prefer_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [
            prometheus,
            "application/openmetrics-text; version=1.0.0",
            "text/plain;q=0.5, application/openmetrics-text",
        ] {
            assert_eq!(asked_for(accept), Exposition::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.2, text/plain;q=0.8",
            "application/openmetrics-text;q=much",
        ] {
            assert_eq!(asked_for(accept), Exposition::Prometheus, "{accept}");
        }
        let silent = Exposition::asked_for(&HeaderMap::new());
        assert_eq!(silent, Exposition::Prometheus);
    }

    #[test]
    fn the_older_format_declares_counters_with_their_suffix_and_no_units() {
        let open = "# HELP steps Steps.\n# TYPE steps counter\nsteps_total 1\n\
                    # HELP time_seconds Time.\n# TYPE time_seconds counter\n# UNIT time_seconds seconds\n\
                    time_seconds_total 0.5\n# HELP room A counter's room.\n# TYPE room gauge\nroom 2\n# EOF\n";
        let old = "# HELP steps_total Steps.\n# TYPE steps_total counter\nsteps_total 1\n\
                   # HELP time_seconds_total Time.\n# TYPE time_seconds_total counter\n\
                   time_seconds_total 0.5\n# HELP room A counter's room.\n# TYPE room gauge\nroom 2\n";
        assert_eq!(to_prometheus(open), old);
    }
}
