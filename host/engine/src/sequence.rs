//! One sample of one prompt inside the engine.

use std::time::Instant;

use tokio::sync::mpsc;

use crate::{
    block::{BlockTable, CacheScope},
    constraint::{Constraint, Job, Next, PendingMask},
    place::Place,
    request::{Event, FinishReason, GenerationFailed, Request},
    runner::{Admission, SlotId, TokenId},
    sampling::{ChosenToken, SamplingParams},
};

/// A sequence's name and its turn: whose is less goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqId {
    /// Lower goes first; 0 for all under first come, first served.
    pub priority: i32,
    /// Number of the sequence in the order of arrival; no two have the same.
    pub arrival: u64,
}

/// A sequence of tokens: those known (prompt and answer so far) and how many of them are in the cache. Prefill, chunked
/// prefill, decode, a cached prefix, resuming after preemption and checking drafts are all "close the gap between the two".
pub struct Sequence {
    /// Its prompt has moved to `tokens`, its constraint to `form`.
    request: Request,
    tokens: Vec<TokenId>,
    prompt_len: usize,
    /// The first sample of the same prompt, for the others.
    leader: Option<SeqId>,
    /// Tokens whose keys and values are in `blocks`.
    computed_len: usize,
    /// The same once the steps under way are done.
    planned_len: usize,
    /// Tokens that the steps under way will choose.
    num_awaited: usize,
    /// The blocks of the cache that it uses.
    pub blocks: BlockTable,
    form: Form,
    has_started: bool,
    events: mpsc::Sender<Event>,
    _place: Place,
}

/// Whether the next token of a sequence may be chosen.
enum Form {
    /// Any token may come.
    Free,
    /// One of these may come.
    Ready(Box<dyn Constraint>, PendingMask),
    /// The constraint is being moved on.
    Away {
        /// Where it will say what may come.
        pending: PendingMask,
        /// Whether a row has waited for that in vain: another is not computed before it is there.
        is_late: bool,
    },
}

impl Form {
    /// While the job is under way.
    fn away(job: &Job) -> Self {
        Self::Away {
            pending: job.pending.clone(),
            is_late: false,
        }
    }
}

/// What a sequence could do in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Tokens known, or known to come, that are not in the cache; at least 1.
    pub len: usize,
    /// Whether a token may be chosen when the gap is closed. Otherwise its last token has to wait.
    pub may_choose: bool,
}

/// Whether a sequence has run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is new.
    First,
    /// It was preempted.
    Again,
}

/// Whether a sequence has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has.
    Running,
    /// Its last event was reported.
    Ended,
}

impl Sequence {
    /// A sequence that has computed nothing yet, and the job that starts its constraint.
    pub fn new(
        id: SeqId,
        leader: Option<SeqId>,
        mut request: Request,
        events: mpsc::Sender<Event>,
        place: Place,
    ) -> (Self, Option<Job>) {
        let tokens = std::mem::take(&mut request.prompt);
        let constraint = request.constraint.take();
        let job = constraint.map(|constraint| Job {
            id,
            constraint,
            token: None,
            pending: PendingMask::default(),
        });
        let sequence = Self {
            request,
            prompt_len: tokens.len(),
            tokens,
            leader,
            computed_len: 0,
            planned_len: 0,
            num_awaited: 0,
            blocks: BlockTable::default(),
            form: job.as_ref().map_or(Form::Free, Form::away),
            has_started: false,
            events,
            _place: place,
        };
        (sequence, job)
    }

    /// Prompt and answer so far.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Tokens of the prompt.
    pub fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    /// The first sample of the same prompt, where this is another.
    pub fn leader(&self) -> Option<SeqId> {
        self.leader
    }

    /// Tokens whose keys and values are in the cache, as far as has been read.
    pub fn computed_len(&self) -> usize {
        self.computed_len
    }

    /// With whom it may share keys and values.
    pub fn scope(&self) -> &CacheScope {
        &self.request.scope
    }

    /// How its tokens are chosen.
    pub fn sampling(&self) -> &SamplingParams {
        &self.request.sampling
    }

    /// Whether somebody still waits for its tokens.
    pub fn is_wanted(&self) -> bool {
        !self.events.is_closed()
    }

    /// Whether it should have ended by `now`.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.request
            .deadline
            .is_some_and(|deadline| deadline <= now)
    }

    /// The sequence as its slot needs it.
    pub fn admission(&self, slot: SlotId) -> Admission<'_> {
        Admission {
            slot,
            tokens: &self.tokens,
            prompt_len: self.prompt_len,
            sampling: self.sampling(),
        }
    }

    /// Begins to run with the first `cached_len` tokens in the cache.
    pub fn start(&mut self, blocks: BlockTable, cached_len: usize) -> Start {
        self.blocks = blocks;
        self.computed_len = cached_len;
        self.planned_len = cached_len;
        if std::mem::replace(&mut self.has_started, true) {
            return Start::Again;
        }
        self.report(Event::Started { cached_len });
        Start::First
    }

    /// Gives up its place in the cache, to start over later. A token that is being chosen still comes.
    pub fn stop(&mut self) -> BlockTable {
        self.num_awaited = 0;
        std::mem::take(&mut self.blocks)
    }

    /// Forgets the steps under way, which will come to nothing.
    pub fn rewind(&mut self) {
        self.planned_len = self.computed_len;
        self.num_awaited = 0;
    }

    /// What there is to compute beyond the steps under way; `None` if nothing is, or if the end is known to come.
    pub fn gap(&self, max_model_len: usize) -> Option<Gap> {
        let known_len = self.tokens.len() + self.num_awaited;
        let ends = self.room(max_model_len) <= self.num_awaited;
        let len = known_len - self.planned_len;
        let may_choose = match self.form {
            Form::Free => true,
            Form::Ready(..) => self.num_awaited == 0,
            Form::Away { is_late, .. } => self.num_awaited == 0 && !is_late,
        };
        (len > 0 && !ends).then_some(Gap { len, may_choose })
    }

    /// How many more tokens it may have.
    pub fn room(&self, max_model_len: usize) -> usize {
        let answer_len = self.tokens.len() - self.prompt_len;
        let of_request = self.request.max_tokens.saturating_sub(answer_len);
        of_request.min(max_model_len.saturating_sub(self.tokens.len()))
    }

    /// Whether its tokens must have a form.
    pub fn is_constrained(&self) -> bool {
        !matches!(self.form, Form::Free)
    }

    /// The tokens that may come next, where not all may.
    pub fn mask(&self) -> Option<&PendingMask> {
        match &self.form {
            Form::Free => None,
            Form::Ready(_, pending) | Form::Away { pending, .. } => Some(pending),
        }
    }

    /// Tokens that will be in the cache once the steps under way are done.
    pub fn planned_len(&self) -> usize {
        self.planned_len
    }

    /// Notes that a step will compute `len` more tokens, and whether it chooses one.
    pub fn plan(&mut self, len: usize, chooses: Chooses) {
        self.planned_len += len;
        self.num_awaited += usize::from(chooses == Chooses::Token);
    }

    /// Notes that the next `len` tokens are in the cache.
    pub fn computed(&mut self, len: usize) {
        self.computed_len += len;
        self.planned_len = self.planned_len.max(self.computed_len);
    }

    /// Notes that nothing was chosen at the end of a row, as the mask had not come.
    pub fn undecided(&mut self) {
        self.num_awaited = self.num_awaited.saturating_sub(1);
        self.planned_len = self.computed_len;
        if let Form::Away { is_late, .. } = &mut self.form {
            *is_late = true;
        }
    }

    /// Takes the tokens that were chosen, reports them, and says whether the sequence goes on. `id` is its own.
    pub fn commit(
        &mut self,
        id: SeqId,
        chosen: Vec<ChosenToken>,
        max_model_len: usize,
    ) -> (Progress, Option<Job>) {
        // None is awaited by one that was preempted.
        self.num_awaited = self.num_awaited.saturating_sub(1);
        let mut job = None;
        for token in chosen {
            let token_id = token.id;
            if self.request.sampling.stop_token_ids.contains(&token_id) {
                self.finish(FinishReason::Stop, Some(token));
                return (Progress::Ended, None);
            }
            self.tokens.push(token_id);
            self.report(Event::Token(token));
            if self.room(max_model_len) == 0 {
                // A text that is complete with its last token is not cut off, but nobody waits to find out.
                self.finish(FinishReason::Length, None);
                return (Progress::Ended, None);
            }
            match std::mem::replace(&mut self.form, Form::Free) {
                Form::Free => {}
                Form::Ready(constraint, _) => {
                    let moved_on = Job {
                        id,
                        constraint,
                        token: Some(token_id),
                        pending: PendingMask::default(),
                    };
                    self.form = Form::away(&moved_on);
                    job = Some(moved_on);
                }
                Form::Away { .. } => unreachable!("a constraint is back before its mask is used"),
            }
        }
        (Progress::Running, job)
    }

    /// Takes its constraint back, moved on.
    pub fn constrain(
        &mut self,
        constraint: Box<dyn Constraint>,
        next: Result<Next, String>,
    ) -> Progress {
        match next {
            Ok(Next::Among(mask)) => {
                self.form = Form::Ready(constraint, mask.into());
                Progress::Running
            }
            Ok(Next::Complete) => {
                self.finish(FinishReason::Stop, None);
                Progress::Ended
            }
            Err(why) => {
                self.fail(GenerationFailed::Constraint(why));
                Progress::Ended
            }
        }
    }

    /// Reports its end.
    pub fn fail(&self, failure: GenerationFailed) {
        self.report(Event::Failed(failure));
    }

    fn finish(&self, reason: FinishReason, stop_token: Option<ChosenToken>) {
        self.report(Event::Finished { reason, stop_token });
    }

    /// The channel holds as many events as the sequence can ever have, and a client that left is no error.
    fn report(&self, event: Event) {
        let _ = self.events.try_send(event);
    }
}

/// Whether a row ends in a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chooses {
    /// It does.
    Token,
    /// It computes keys and values only.
    Nothing,
}
