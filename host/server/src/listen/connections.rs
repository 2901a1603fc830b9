//! All connections of a listener: how many there are, and how they are brought to their end.

use std::time::Duration;

use tokio::{sync::watch, time::error::Elapsed};

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It has not begun.
    Serving,
    /// Requests that run come to their end, and no new ones begin.
    Draining,
    /// What is left is cut off.
    Cut,
}

/// The connections of one listener.
pub(crate) struct Connections(watch::Sender<Stage>);

/// One connection's view of them, which it keeps as long as it lives.
pub(super) struct Membership(watch::Receiver<Stage>);

impl Connections {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Stage::Serving))
    }

    /// One more connection.
    pub(super) fn join(&self) -> Membership {
        Membership(self.0.subscribe())
    }

    /// Waits until all are gone, for at most this long; then cuts off those that are left and says that there were some.
    pub(crate) async fn drain(self, at_most: Duration) -> Result<(), Elapsed> {
        self.0.send_replace(Stage::Draining);
        let drained = tokio::time::timeout(at_most, self.0.closed()).await;
        if drained.is_err() {
            self.0.send_replace(Stage::Cut);
            self.0.closed().await;
        }
        drained
    }
}

impl Membership {
    /// Completes when the end has come this far.
    pub(super) async fn reached(&mut self, stage: Stage) {
        // An error means that the listener is gone without a drain: there is nobody left to serve for.
        let _ = self.0.wait_for(|now| *now >= stage).await;
    }
}
