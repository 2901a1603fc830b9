//! Who is told of a sequence.

use tokio::sync::mpsc;

use crate::request::{Event, GenerationFailed};

/// Where a sequence's outcome goes. A client that has left is no error.
pub(super) enum Client {
    /// To whoever reads a text. The channel holds as many events as the sequence can ever have.
    Text(mpsc::Sender<Event>),
    /// To whoever waits for a vector.
    Vector {
        /// The hidden states that have been read, added up.
        sum: Vec<f64>,
        /// Holds the one outcome.
        vector: mpsc::Sender<Result<Vec<f32>, GenerationFailed>>,
    },
}

impl Client {
    /// Whether anybody still waits.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Text(events) => !events.is_closed(),
            Self::Vector { vector, .. } => !vector.is_closed(),
        }
    }

    /// Tells what has become of a text; nobody waits for that beside a vector.
    pub(super) fn report(&self, event: Event) {
        if let Self::Text(events) = self {
            let _ = events.try_send(event);
        }
    }

    /// Adds hidden states to a vector.
    pub(super) fn add(&mut self, state: &[f64]) {
        if let Self::Vector { sum, .. } = self {
            sum.resize(state.len(), 0.0);
            sum.iter_mut()
                .zip(state)
                .for_each(|(sum, part)| *sum += part);
        }
    }

    /// Hands a vector over: the mean of the `num_added` states that were added.
    pub(super) fn hand_over(&self, num_added: usize) {
        if let Self::Vector { sum, vector } = self {
            let mean = sum.iter().map(|sum| (sum / num_added as f64) as f32);
            let _ = vector.try_send(Ok(mean.collect()));
        }
    }

    /// Tells that nothing more will come.
    pub(super) fn fail(&self, failure: GenerationFailed) {
        match self {
            Self::Text(events) => {
                let _ = events.try_send(Event::Failed(failure));
            }
            Self::Vector { vector, .. } => {
                let _ = vector.try_send(Err(failure));
            }
        }
    }
}
