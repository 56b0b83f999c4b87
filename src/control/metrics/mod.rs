//! What Prometheus reads: one page of OpenMetrics text, made anew for each scrape from what is published anyway.
//!
//! # Policy
//!
//! - Names and units by Prometheus's conventions: base units, `_total` for what only grows, no unit in a label.
//! - Labels are bounded: a shard's number, a set's number and name, a destination's duid, and words of closed lists. The histograms of
//!   destinations are left out beyond [`limits::METRICS_HISTOGRAMS_MAX`] destinations, and how many that leaves out is a metric, too.
//! - Nothing is counted for the page's sake: a scrape costs the control thread, and no shard.

mod destinations;
mod page;
mod process;
mod sets;
mod shards;

use super::Control;
use crate::limits;
use page::Page;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// The type of the page, for HTTP.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page.
pub(super) fn page(control: &Arc<Control>) -> Result<String, core::fmt::Error> {
    let mut registry = Registry::with_prefix("siplane");
    registry.register_collector(Box::new(All(Arc::clone(control))));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct All(Arc<Control>);

impl Collector for All {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), core::fmt::Error> {
        let mut page = Page::new(encoder);
        process::write(&mut page, &self.0)?;
        shards::write(&mut page, &self.0)?;
        let policy = self.0.policy();
        sets::write(&mut page, &policy.table)?;
        let all: usize = policy.table.sets().iter().map(|set| set.destinations.len()).sum();
        let with_histograms = all <= limits::METRICS_HISTOGRAMS_MAX;
        destinations::write(&mut page, &policy.table, with_histograms)
    }
}
