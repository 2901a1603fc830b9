//! Mean and percentiles.

/// Mean and percentiles of a set of values; all are absent if the set is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) mean: Option<f64>,
    pub(crate) p50: Option<f64>,
    pub(crate) p90: Option<f64>,
    pub(crate) p99: Option<f64>,
}

impl Summary {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Summary {
            mean: ratio(values.iter().sum(), values.len() as f64),
            p50: percentile(&values, 50.0),
            p90: percentile(&values, 90.0),
            p99: percentile(&values, 99.0),
        }
    }
}

/// `of / by`, absent if `by` is zero.
pub(crate) fn ratio(of: f64, by: f64) -> Option<f64> {
    (by != 0.0).then(|| of / by)
}

/// The value below which `percent` of 100 values lie, interpolated linearly between the two nearest ranks (numpy's
/// default method). `sorted` is in rising order.
fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = percent / 100.0 * last as f64;
    let below = (rank as usize).min(last);
    let above = (below + 1).min(last);
    let (low, high) = (sorted[below], sorted[above]);
    Some(low + (high - low) * (rank - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    // One rounding error of a double on values up to 100.
    const TOLERANCE: f64 = 1e-12;

    #[test]
    fn percentiles_equal_numpys() {
        // numpy.percentile(values, percent)
        for (values, percent, expected) in [
            (&[1.0, 2.0, 3.0, 4.0][..], 50.0, 2.5),
            (&[1.0, 2.0, 3.0, 4.0], 90.0, 3.7),
            (&[1.0, 2.0, 3.0, 4.0], 99.0, 3.97),
            (&[15.0, 20.0, 35.0, 40.0, 50.0], 40.0, 29.0),
            (&[15.0, 20.0, 35.0, 40.0, 50.0], 0.0, 15.0),
            (&[15.0, 20.0, 35.0, 40.0, 50.0], 100.0, 50.0),
            (&[7.0], 99.0, 7.0),
        ] {
            let got = percentile(values, percent).unwrap();
            assert!((got - expected).abs() < TOLERANCE, "{percent}: {got}");
        }
    }

    #[test]
    fn a_summary_sorts_and_averages() {
        let summary = Summary::of((0..=100).rev().map(f64::from));
        let expected = Summary {
            mean: Some(50.0),
            p50: Some(50.0),
            p90: Some(90.0),
            p99: Some(99.0),
        };
        assert_eq!(summary, expected);
    }

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(Summary::of(std::iter::empty()), Summary::default());
    }
}
