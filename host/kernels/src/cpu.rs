//! What an op runs on: an instruction set and a team of threads.

use crate::isa::Isa;
use crate::shared_out::SharedOut;
use crate::team::Team;

/// The machine as the ops see it.
pub struct Cpu {
    isa: Isa,
    team: Team,
}

impl Cpu {
    /// The best instruction set of this machine and `num_threads` threads, the caller's among them (at least 1).
    pub fn new(num_threads: usize) -> Self {
        Self::with_isa(Isa::detect(), num_threads)
    }

    /// As `new`, with a chosen instruction set.
    pub fn with_isa(isa: Isa, num_threads: usize) -> Self {
        Self {
            isa,
            team: Team::new(num_threads),
        }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads in use.
    pub fn team(&self) -> &Team {
        &self.team
    }

    /// Calls `body(index, row)` for each row of `out`, which is row-major with `row_len` elements a row.
    #[allow(unsafe_code, reason = "rows are handed to threads by index")]
    pub(crate) fn for_each_row<T: Send>(
        &self,
        out: &mut [T],
        row_len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let num_rows = out.len() / row_len;
        let out = SharedOut::new(out);
        self.team.for_each(num_rows, |index| {
            // SAFETY: the team hands out each index once, and rows do not overlap.
            body(index, unsafe { out.part(index * row_len, row_len) });
        });
    }
}
