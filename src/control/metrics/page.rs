//! Families of metrics, written one after the other.

use core::fmt::{Error, Write as _};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

/// The labels of one series.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(Vec<(&'static str, String)>);

impl Labels {
    /// None.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    /// With one more.
    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.push((name, value.to_string()));
        self
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), Error> {
        for (name, value) in &self.0 {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            key.write_str(name)?;
            let mut text = key.encode_label_value()?;
            text.write_str(value)?;
            text.finish()?;
        }
        Ok(())
    }
}

/// A histogram as Prometheus has it.
pub(super) struct Histogram {
    /// The sum of all values.
    pub(super) sum: f64,
    /// Upper bound and count of each bucket, not summed up; the last bound is infinite.
    pub(super) buckets: Vec<(f64, u64)>,
}

/// The page so far.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// What only grows; `name` without `_total`.
    pub(super) fn counters<V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, V)>,
    ) -> Result<(), Error> {
        self.family(name, help, MetricType::Counter, rows, |metric, value| {
            metric.encode_counter::<NoLabelSet, V, u64>(&value, None)
        })
    }

    /// What goes up and down.
    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Result<(), Error> {
        self.family(name, help, MetricType::Gauge, rows, |metric, value| metric.encode_gauge(&value))
    }

    /// Histograms.
    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, Histogram)>,
    ) -> Result<(), Error> {
        self.family(name, help, MetricType::Histogram, rows, |metric, Histogram { sum, buckets }| {
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }

    /// What is always 1 and has its worth in its labels.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: &Labels) -> Result<(), Error> {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        metric.encode_info(labels)
    }

    fn family<V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl IntoIterator<Item = (Labels, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, V) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // The encoder puts a full stop behind it.
        let mut metric = self.0.encode_descriptor(name, help.trim_end_matches('.'), None, kind)?;
        for (labels, value) in rows {
            if labels.0.is_empty() {
                write(&mut metric, value)?;
            } else {
                write(&mut metric.encode_family(&labels)?, value)?;
            }
        }
        Ok(())
    }
}
