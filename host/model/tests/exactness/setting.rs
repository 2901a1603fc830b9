//! Everything that a server's operator, or chance, may choose and that must change no answer.

use engine::{Caching, EngineConfig, Overlap};

/// One way to run an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    pub(crate) runner: Runs,
    pub(crate) overlap: Overlap,
    pub(crate) caching: Caching,
    /// The longest part of a prompt in one step, where others leave as much.
    pub(crate) chunk_len: usize,
    pub(crate) max_num_seqs: usize,
    pub(crate) num_draft_tokens: usize,
    pub(crate) num_blocks: usize,
}

/// Where the runner computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Runs {
    /// On the engine's own thread.
    Bare,
    /// On a `ComputeThread`.
    OnItsThread,
}

/// Blocks enough for all requests of a test at once.
pub(crate) const AMPLE: usize = 64;
/// Blocks enough for the longest request, too few for two: some are preempted.
pub(crate) const TINY: usize = 5;

/// Nothing that could disturb a request: it is alone, and computed in the simplest way.
pub(crate) const PLAIN: Setting = Setting {
    runner: Runs::Bare,
    overlap: Overlap::Off,
    caching: Caching::Off,
    chunk_len: 512,
    max_num_seqs: 1,
    num_draft_tokens: 0,
    num_blocks: AMPLE,
};

impl Setting {
    /// Every combination that makes sense: alone nobody is preempted.
    pub(crate) fn all() -> Vec<Self> {
        let mut settings = vec![PLAIN];
        let mut vary = |variants: &[fn(&mut Setting)]| {
            let varied = |setting: &Setting| {
                let of = |vary: &fn(&mut Setting)| {
                    let mut varied = *setting;
                    vary(&mut varied);
                    varied
                };
                variants.iter().map(of).collect::<Vec<_>>()
            };
            settings = settings.iter().flat_map(varied).collect();
        };
        vary(&[|_| (), |s| s.runner = Runs::OnItsThread]);
        vary(&[|_| (), |s| s.overlap = Overlap::On]);
        vary(&[|_| (), |s| s.caching = Caching::On]);
        vary(&[|_| (), |s| s.chunk_len = 16, |s| s.chunk_len = 1]);
        vary(&[|_| (), |s| s.num_draft_tokens = 4]);
        vary(&[
            |_| (),
            |s| s.max_num_seqs = 4,
            |s| (s.max_num_seqs, s.num_blocks) = (4, TINY),
        ]);
        settings
    }

    /// In how many things it differs from the plainest.
    pub(crate) fn num_differences(&self) -> usize {
        let differences = [
            self.runner != PLAIN.runner,
            self.overlap != PLAIN.overlap,
            self.caching != PLAIN.caching,
            self.chunk_len != PLAIN.chunk_len,
            self.max_num_seqs != PLAIN.max_num_seqs,
            self.num_draft_tokens != PLAIN.num_draft_tokens,
        ];
        differences.into_iter().filter(|differs| *differs).count()
    }

    pub(crate) fn config(&self) -> EngineConfig {
        EngineConfig {
            max_num_seqs: self.max_num_seqs,
            max_num_batched_tokens: self.chunk_len.max(self.max_num_seqs),
            prefix_caching: self.caching,
            overlap: self.overlap,
            num_draft_tokens: self.num_draft_tokens,
            ..EngineConfig::default()
        }
    }
}
