//! One sample of one prompt inside the engine, or one text that becomes a vector.

mod client;

use std::ops::Range;
use std::time::Instant;

use tokio::sync::mpsc;

use self::client::Client;
use crate::{
    block::{BlockTable, CacheScope},
    constraint::{Constraint, Job, Next, PendingMask},
    place::Place,
    request::{EmbeddingRequest, Event, FinishReason, GenerationFailed, Pooling, Request},
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
    each: Each,
    /// What the row is for that closes the gap.
    last: Purpose,
    /// The blocks of the cache that it uses.
    pub blocks: BlockTable,
    form: Form,
    has_started: bool,
    client: Client,
    /// Given back before its client hears of its end: that client's next request may come at once.
    place: Option<Place>,
}

/// What is wanted of each of some tokens of a prompt besides its keys and values.
struct Each {
    /// The positions of which it has not been read yet. Those before them need only be in the cache, however they came there.
    unread: Range<usize>,
    purpose: Purpose,
}

impl Each {
    fn nothing() -> Self {
        Self {
            unread: 0..0,
            purpose: Purpose::Cache,
        }
    }
}

/// What a row is computed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Keys and values only.
    Cache,
    /// The token after it.
    Token,
    /// How likely the tokens were that follow its own, with so many alternatives each.
    Scores { num_top: usize },
    /// The hidden state of its last token, or the sum of all.
    Hidden(Pooling),
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
        // Nothing comes before the first token, and what comes after the last is chosen.
        let scores = |num_top| Each {
            unread: 0..tokens.len() - 1,
            purpose: Purpose::Scores { num_top },
        };
        let each = request.prompt_logprobs.map_or_else(Each::nothing, scores);
        let sequence = Self {
            request,
            prompt_len: tokens.len(),
            tokens,
            leader,
            computed_len: 0,
            planned_len: 0,
            num_awaited: 0,
            each,
            last: Purpose::Token,
            blocks: BlockTable::default(),
            form: job.as_ref().map_or(Form::Free, Form::away),
            has_started: false,
            client: Client::Text(events),
            place: Some(place),
        };
        (sequence, job)
    }

    /// A text to be made a vector of, of which nothing is computed yet.
    pub fn embedding(
        request: EmbeddingRequest,
        vector: mpsc::Sender<Result<Vec<f32>, GenerationFailed>>,
        place: Place,
    ) -> Self {
        let EmbeddingRequest {
            tokens,
            pooling,
            priority,
            deadline,
            scope,
        } = request;
        let purpose = Purpose::Hidden(pooling);
        let each = match pooling {
            Pooling::Last => Each::nothing(),
            Pooling::Mean => Each {
                unread: 0..tokens.len(),
                purpose,
            },
        };
        Self {
            request: Request {
                priority,
                deadline,
                scope,
                ..Request::default()
            },
            prompt_len: tokens.len(),
            tokens,
            leader: None,
            computed_len: 0,
            planned_len: 0,
            num_awaited: 0,
            each,
            last: purpose,
            blocks: BlockTable::default(),
            form: Form::Free,
            has_started: false,
            client: Client::Vector {
                sum: Vec::new(),
                vector,
            },
            place: Some(place),
        }
    }

    /// Prompt and answer so far.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The tokens whose beginning may be taken from the cache, all but the last of them.
    pub fn findable(&self) -> &[TokenId] {
        match self.each.unread.is_empty() {
            true => &self.tokens,
            false => &self.tokens[..=self.each.unread.start],
        }
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
        self.client.is_there()
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
        let ends = self.last == Purpose::Token && self.room(max_model_len) <= self.num_awaited;
        let len = known_len - self.planned_len;
        let may_choose = match self.form {
            Form::Free => true,
            Form::Ready(..) => self.num_awaited == 0,
            Form::Away { is_late, .. } => self.num_awaited == 0 && !is_late,
        };
        (len > 0 && !ends).then_some(Gap { len, may_choose })
    }

    /// How many tokens of the gap it computes in its next row, `most` at most, and what for. The number is 0 where its last token has
    /// to wait.
    pub fn next_row(&self, gap: Gap, most: usize) -> (usize, Purpose) {
        let Each { unread, purpose } = &self.each;
        let next = self.planned_len;
        if next < unread.end && !unread.is_empty() {
            return match unread.start.checked_sub(next) {
                // They were read before a preemption.
                Some(len @ 1..) => (most.min(len), Purpose::Cache),
                _ => (most.min(unread.end - next), *purpose),
            };
        }
        match gap.len {
            // The last token of the gap waits until the next one may be chosen.
            all if !gap.may_choose => (most.min(all - 1), Purpose::Cache),
            all if most < all => (most, Purpose::Cache),
            all => (all, self.last),
        }
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

    /// Notes that a step will compute `len` more tokens, and what for.
    pub fn plan(&mut self, len: usize, purpose: Purpose) {
        self.planned_len += len;
        self.num_awaited += usize::from(purpose == Purpose::Token);
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

    /// Takes the next tokens of the prompt, with how likely they were, and reports them.
    pub fn scored(&mut self, tokens: Vec<ChosenToken>) {
        self.each.unread.start += tokens.len();
        self.report(Event::Prompt(tokens));
    }

    /// Takes what was wanted of the hidden states of the next `len` tokens, and hands the vector over once it has all.
    pub fn pooled(&mut self, len: usize, state: &[f64]) -> Progress {
        self.client.add(state);
        if self.last == Purpose::Hidden(Pooling::Last) {
            self.place = None;
            self.client.hand_over(1);
            return Progress::Ended;
        }
        self.each.unread.start += len;
        if !self.each.unread.is_empty() {
            return Progress::Running;
        }
        self.place = None;
        self.client.hand_over(self.tokens.len());
        Progress::Ended
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
    pub fn fail(&mut self, failure: GenerationFailed) {
        self.place = None;
        self.client.fail(failure);
    }

    fn finish(&mut self, reason: FinishReason, stop_token: Option<ChosenToken>) {
        self.place = None;
        self.report(Event::Finished { reason, stop_token });
    }

    fn report(&self, event: Event) {
        self.client.report(event);
    }
}
