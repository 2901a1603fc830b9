//! What the kernels of a pass read besides weights and activations: packed into one array of words, copied in one go.

use kernels::cuda::{Buffer, CudaError, Device, Event, Pinned, Plain, View};

/// Copies under way, and one that is being packed.
const NUM_STAGES: usize = 3;

/// Words that are allocated at first; masks and biases of many rows may need more.
const FIRST_CAPACITY: usize = 1 << 18;

/// Words of one pass, in the order in which they were put.
#[derive(Debug, Default)]
pub(super) struct Words(Vec<u32>);

/// Some of the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Words {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn put(&mut self, words: impl IntoIterator<Item = u32>) -> Section {
        let start = self.0.len();
        self.0.extend(words);
        Section {
            start,
            len: self.0.len() - start,
        }
    }

    /// Numbers from 0 to `i32::MAX`.
    pub(super) fn put_counts(&mut self, counts: impl IntoIterator<Item = usize>) -> Section {
        self.put(counts.into_iter().map(|count| {
            u32::try_from(count).expect("a model's and a cache's counts are below 2^31")
        }))
    }

    /// Makes the next section begin at a multiple of 8 bytes, and returns where.
    pub(super) fn align(&mut self) -> usize {
        if !self.0.len().is_multiple_of(2) {
            self.0.push(0);
        }
        self.0.len()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn section_mut(&mut self, section: Section) -> &mut [u32] {
        &mut self.0[section.start..section.start + section.len]
    }
}

/// The device's copy of the words, and page-locked ones to copy from. A stage is used again only when what was in it has been copied.
pub(super) struct Inputs {
    device_words: Buffer<u32>,
    stages: [Stage; NUM_STAGES],
    turn: usize,
}

struct Stage {
    words: Pinned<u32>,
    /// After the copy.
    copied: Option<Event>,
}

impl Inputs {
    pub(super) fn new(device: &Device) -> Result<Self, CudaError> {
        Self::with_capacity(device, FIRST_CAPACITY)
    }

    fn with_capacity(device: &Device, capacity: usize) -> Result<Self, CudaError> {
        let stage = || {
            Ok::<_, CudaError>(Stage {
                words: device.pinned(capacity)?,
                copied: None,
            })
        };
        Ok(Self {
            device_words: device.zeros("the inputs of a step", capacity)?,
            stages: [stage()?, stage()?, stage()?],
            turn: 0,
        })
    }

    /// Whether so many words need another allocation, which moves everything: graphs that read from here are worth nothing then.
    pub(super) fn must_grow(&self, words: &Words) -> bool {
        words.0.len() > self.device_words.len()
    }

    pub(super) fn grow(&mut self, device: &Device, words: &Words) -> Result<(), CudaError> {
        device.synchronize()?;
        *self = Self::with_capacity(device, words.0.len().next_power_of_two())?;
        Ok(())
    }

    /// Copies the words to the device, in the stream's order.
    pub(super) fn send(&mut self, device: &Device, words: &Words) -> Result<(), CudaError> {
        self.turn = (self.turn + 1) % NUM_STAGES;
        let stage = &mut self.stages[self.turn];
        if let Some(copied) = stage.copied.take() {
            copied.wait()?;
        }
        stage.words.as_mut_slice()[..words.0.len()].copy_from_slice(&words.0);
        device.send(
            &stage.words,
            self.device_words.view().slice(0, words.0.len()),
        )?;
        stage.copied = Some(device.event()?);
        Ok(())
    }

    /// Copies part of the words again when the work before it is done, after `fill` has written to it.
    pub(super) fn fill_and_send(
        &mut self,
        device: &Device,
        section: Section,
        fill: impl FnOnce(&mut [u32]) + Send + 'static,
    ) -> Result<(), CudaError> {
        let stage = &mut self.stages[self.turn];
        let to = self.device_words.view().slice(section.start, section.len);
        device.fill_and_send(&mut stage.words, section.start, to, fill)?;
        stage.copied = Some(device.event()?);
        Ok(())
    }

    /// The words of a section, as numbers of 4 bytes or pieces of more.
    pub(super) fn view<T: Plain>(&self, section: Section) -> View<'_, T> {
        self.device_words
            .view()
            .slice(section.start, section.len)
            .cast()
    }

    /// All words from the first on, for what is addressed by its place among them.
    pub(super) fn all<T: Plain>(&self) -> View<'_, T> {
        self.device_words.view().cast()
    }
}
