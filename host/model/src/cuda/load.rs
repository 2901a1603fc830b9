//! Weights onto the device: several threads read and convert into page-locked memory while earlier pieces are copied.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Mutex;

use half::bf16;
use kernels::cuda::{Buffer, Device, Event, Pinned, elementwise::noise};

use super::open::OpenError;
use super::weights::{Layout, Piece};
use crate::config::ModelConfig;
use crate::error::LoadError;
use crate::weights::{Bf16Tensors, DEVIATION, Naming};

/// Numbers that are copied at a time: 16 MiB.
const COPY_LEN: usize = 8 << 20;

/// Threads that read. More do not help: by then the page cache or the disk is the limit.
const NUM_READERS: usize = 8;

/// Reads all of a model's tensors into `to`.
pub(super) fn load(
    device: &Device,
    config: &ModelConfig,
    layout: &Layout,
    source: &dyn Bf16Tensors,
    to: &Buffer<bf16>,
) -> Result<(), OpenError> {
    let mut copies: Vec<Copy> = layout
        .pieces(config, source.naming())
        .into_iter()
        .flat_map(copies)
        .collect();
    // The last copies should be small, so that the readers end together.
    copies.sort_by_key(|copy| copy.part.len() * copy.piece.cols.max(1));
    let copies = Mutex::new(copies);
    let next = || copies.lock().expect("nobody panics while taking one").pop();
    let read = || -> Result<(), OpenError> {
        device.bind()?;
        let mut buffers = [
            device.pinned::<bf16>(COPY_LEN)?,
            device.pinned::<bf16>(COPY_LEN)?,
        ]
        .map(|pinned| Staging {
            pinned,
            copied: None,
        });
        let mut turn = 0;
        while let Some(copy) = next() {
            let staging = &mut buffers[turn % 2];
            turn += 1;
            staging.wait()?;
            copy.read(source, staging.pinned.as_mut_slice())?;
            device.send(&staging.pinned, to.view().slice(copy.start(), copy.len()))?;
            staging.copied = Some(device.event()?);
        }
        buffers.iter_mut().try_for_each(Staging::wait)
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..NUM_READERS).map(|_| scope.spawn(read)).collect();
        readers
            .into_iter()
            .try_for_each(|reader| reader.join().expect("readers return their errors"))
    })
}

/// Fills `to` with seeded noise, and norms with ones.
pub(super) fn make_up(
    device: &Device,
    config: &ModelConfig,
    layout: &Layout,
    seed: u64,
    to: &Buffer<bf16>,
) -> Result<(), OpenError> {
    for piece in layout.pieces(config, Naming::HuggingFace) {
        let part = to.view().slice(piece.start, piece.rows * piece.cols.max(1));
        if piece.cols == 0 {
            device.write(part, &vec![bf16::ONE; piece.rows])?;
        } else {
            let mut hasher = DefaultHasher::new();
            (seed, &piece.name).hash(&mut hasher);
            noise(device, part, hasher.finish(), 2.0 * 3f32.sqrt() * DEVIATION)?;
        }
    }
    Ok(device.synchronize()?)
}

/// A buffer that is being copied from, or free.
struct Staging {
    pinned: Pinned<bf16>,
    copied: Option<Event>,
}

impl Staging {
    fn wait(&mut self) -> Result<(), OpenError> {
        match self.copied.take() {
            Some(copied) => Ok(copied.wait()?),
            None => Ok(()),
        }
    }
}

/// Rows of a tensor.
struct Copy {
    piece: Piece,
    part: Range<usize>,
}

/// A tensor in parts of at most [`COPY_LEN`] numbers; heads stay whole.
fn copies(piece: Piece) -> Vec<Copy> {
    let unit = piece.pairs_of_heads.unwrap_or(1);
    let rows = (COPY_LEN / piece.cols.max(1) / unit * unit).max(unit);
    let parts = (0..piece.rows)
        .step_by(rows)
        .map(|first| first..(first + rows).min(piece.rows));
    parts
        .map(|part| Copy {
            piece: piece.clone(),
            part,
        })
        .collect()
}

impl Copy {
    fn start(&self) -> usize {
        self.piece.start + self.part.start * self.piece.cols.max(1)
    }

    fn len(&self) -> usize {
        self.part.len() * self.piece.cols.max(1)
    }

    fn read(&self, source: &dyn Bf16Tensors, out: &mut [bf16]) -> Result<(), LoadError> {
        let Piece {
            name, rows, cols, ..
        } = &self.piece;
        let out = &mut out[..self.len()];
        if *cols == 0 {
            let vector = source.vector(name, *rows)?;
            out.iter_mut()
                .zip(&vector[self.part.clone()])
                .for_each(|(out, number)| *out = bf16::from_f32(*number));
            return Ok(());
        }
        source.bf16_rows(name, [*rows, *cols], self.part.clone(), out)?;
        if let Some(head_len) = self.piece.pairs_of_heads {
            out.chunks_exact_mut(head_len * cols)
                .for_each(|head| separate_pairs(head, *cols));
        }
        Ok(())
    }
}

/// Rows 0, 1, 2, 3 .. of a head become 0, 2, .., 1, 3, ..
fn separate_pairs(head: &mut [bf16], cols: usize) {
    let rows: Vec<Vec<bf16>> = head.chunks_exact(cols).map(<[bf16]>::to_vec).collect();
    let ordered = rows.iter().step_by(2).chain(rows.iter().skip(1).step_by(2));
    head.chunks_exact_mut(cols)
        .zip(ordered)
        .for_each(|(to, from)| to.copy_from_slice(from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_lie_side_by_side_are_put_a_half_head_apart() {
        let row = |number: u8| [bf16::from_f32(number.into()); 3];
        let mut head: Vec<bf16> = (0..6).flat_map(row).collect();
        separate_pairs(&mut head, 3);
        let want: Vec<bf16> = [0, 2, 4, 1, 3, 5].into_iter().flat_map(row).collect();
        assert_eq!(head, want);
    }

    #[test]
    fn a_tensor_is_copied_in_parts_that_are_whole_heads_and_cover_it_once() {
        let piece = Piece {
            name: "q".into(),
            rows: 4096,
            cols: 5000,
            start: 7,
            pairs_of_heads: Some(128),
        };
        let copies = copies(piece);
        assert!(copies.len() > 1);
        let mut next = 0;
        for copy in &copies {
            assert_eq!(copy.part.start, next);
            assert!(copy.part.len().is_multiple_of(128) && copy.len() <= COPY_LEN);
            assert_eq!(copy.start(), 7 + next * 5000);
            next = copy.part.end;
        }
        assert_eq!(next, 4096);
    }
}
