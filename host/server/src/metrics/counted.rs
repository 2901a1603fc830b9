//! Histograms that somebody else has counted.

use std::{fmt, iter};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

/// How often something fell into each of a number of classes, and the sum of it all.
#[derive(Debug)]
pub(super) struct Counted {
    sum: f64,
    /// Upper bounds, and what fell between each and the one before.
    classes: Vec<(f64, u64)>,
}

impl Counted {
    /// `counts` has one more than `bounds`, for what lies above all of them.
    pub(super) fn new(sum: f64, bounds: impl IntoIterator<Item = f64>, counts: &[u64]) -> Self {
        let bounds = bounds.into_iter().chain(iter::once(f64::INFINITY));
        Self {
            sum,
            classes: bounds.zip(counts.iter().copied()).collect(),
        }
    }
}

impl EncodeMetric for Counted {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let count = self.classes.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum, count, &self.classes, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// One histogram for each set of labels.
#[derive(Debug)]
pub(super) struct CountedFamily<S>(pub(super) Vec<(S, Counted)>);

impl<S: EncodeLabelSet> EncodeMetric for CountedFamily<S> {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(labels, counted)| counted.encode(encoder.encode_family(labels)?))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
