//! Connections.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// How many there are, and how many were refused. Cheap to clone; clones count together.
#[derive(Clone, Default)]
pub(crate) struct ConnectionMetrics {
    open: Gauge,
    refused: Counter,
}

/// A connection that is open until this is dropped.
pub(crate) struct Open(Gauge);

impl ConnectionMetrics {
    /// A connection was taken on.
    pub(crate) fn opened(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }

    /// A connection was refused, as there were too many.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// Those that are open now.
    pub(crate) fn num_open(&self) -> usize {
        usize::try_from(self.open.get()).unwrap_or(0)
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("host_connections", "Connections now", self.open.clone());
        registry.register(
            "host_connections_refused",
            "Connections refused because of --max-connections",
            self.refused.clone(),
        );
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
