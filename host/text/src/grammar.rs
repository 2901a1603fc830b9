mod error;
mod form;
mod lark;
mod regex;
mod schema;
mod vocabulary;
mod walk;
mod watch;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use llguidance::api::{GrammarInit, ParserLimits};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::InferenceCapabilities;
use llguidance::{Logger, ParserFactory, panic_utils};

use self::error::{Problem, failed, readable};
use self::vocabulary::Vocabulary;
use self::walk::Stuck;
use self::watch::Watch;
use crate::{Error, Tokenizer};

pub use self::error::GrammarError;
pub use self::form::Form;
pub use self::walk::{Allowed, Grammar};

/// The library follows rules, references and properties by recursion, some kilobytes for each. What passes the checks needs
/// less than half of this; what is never touched costs nothing.
const STACK_LEN: usize = 128 << 20;

/// What all requests of one model share to compile forms. Clones share it, too; all methods may be called from any thread.
///
/// ```
/// use text::{Allowed, Form, Grammars, Tokenizer};
///
/// # let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokenizer.json"));
/// let tokenizer = Tokenizer::from_file(path)?;
/// let end = tokenizer.token_to_id("<|im_end|>").ok_or("no end token")?;
/// let grammars = Grammars::new(&tokenizer, &[end], tokenizer.vocab_len())?;
///
/// let mut grammar = grammars.compile(&Form::Regex("yes|no".to_owned()))?;
/// for token in tokenizer.encode("no")? {
///     let Allowed::Tokens(mask) = grammar.allowed()? else {
///         panic!("complete too early");
///     };
///     assert_eq!(mask[token as usize / 32] >> (token % 32) & 1, 1);
///     grammar.advance(token)?;
/// }
/// assert_eq!(grammar.allowed()?, Allowed::Complete);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Grammars(Arc<Shared>);

struct Shared {
    factory: ParserFactory,
    vocabulary: Vocabulary,
    watch: Watch,
}

impl Grammars {
    /// Prepares a model's vocabulary. `vocab_len` is the number of the model's logits, `end_tokens` are those at which it
    /// ends a text. Takes about a third of a second for 150,000 tokens.
    pub fn new(tokenizer: &Tokenizer, end_tokens: &[u32], vocab_len: usize) -> Result<Self, Error> {
        let vocabulary = Vocabulary::new(tokenizer, end_tokens, vocab_len)?;
        let factory = ParserFactory::new(
            &vocabulary.env,
            InferenceCapabilities::default(),
            &SlicedBiasComputer::general_slices(),
        )
        .map_err(|error| Error::Vocabulary(error.to_string()))?;
        Ok(Self(Arc::new(Shared {
            factory,
            vocabulary,
            watch: Watch::start().map_err(Error::Thread)?,
        })))
    }

    /// Checks a form and prepares to write a text in it. What is wrong with the form is found here, but for dead ends and
    /// excess of work further on in the text. No reference is followed out of the form.
    ///
    /// Takes milliseconds as a rule, and up to a second to refuse what is made to take long: not for an async thread, and
    /// not to be done for many clients at once.
    pub fn compile(&self, form: &Form) -> Result<Grammar, GrammarError> {
        let name = form.name();
        thread::scope(|scope| {
            let compiler = thread::Builder::new()
                .name("grammar".to_owned())
                .stack_size(STACK_LEN)
                .spawn_scoped(scope, || self.compile_here(form))
                .map_err(|reason| GrammarError::Thread { form: name, reason })?;
            compiler.join().unwrap_or_else(|_| Err(failed().of(name)))
        })
    }

    fn compile_here(&self, form: &Form) -> Result<Grammar, GrammarError> {
        let factory = &self.0.factory;
        let problem = |problem: Problem| problem.of(form.name());
        let source = GrammarInit::Serialized(form.checked().map_err(problem)?);
        let limits = limits(form);
        // It panics where its tables are too small, among others.
        let (grammar, lexer) = panic_utils::catch_unwind(AssertUnwindSafe(|| {
            source.to_internal(Some(factory.tok_env().clone()), limits.clone())
        }))
        .map_err(|error| form.own_words(readable(error)))
        .map_err(problem)?;
        form::check_lexer(&lexer).map_err(problem)?;
        let parser = factory.create_parser_from_init_ext(
            GrammarInit::Internal(grammar, lexer),
            Logger::new(0, 0),
            InferenceCapabilities::default(),
            limits,
        );
        let parser = parser.map_err(readable).map_err(problem)?;
        let mut grammar = Grammar::new(self.clone(), parser);
        self.try_first_step(&mut grammar)
            .map_err(|stuck| match stuck {
                Stuck::DeadEnd => GrammarError::Unsatisfiable { form: form.name() },
                Stuck::Failed(failed) => problem(failed),
            })?;
        Ok(grammar)
    }

    /// Some limits of the library are only met by the first mask, or by the first token.
    fn try_first_step(&self, grammar: &mut Grammar) -> Result<(), Stuck> {
        let Allowed::Tokens(mask) = grammar.next()? else {
            return Ok(());
        };
        let mask = self.0.vocabulary.text_of(&mask);
        let Some(word) = mask.iter().position(|&word| word != 0) else {
            return Ok(());
        };
        let token = word as u32 * 32 + mask[word].trailing_zeros();
        let mut ahead = grammar.clone();
        ahead.consume(token).map_err(Stuck::Failed)?;
        match ahead.next() {
            // Other tokens may lead further.
            Ok(_) | Err(Stuck::DeadEnd) => Ok(()),
            Err(failed) => Err(failed),
        }
    }
}

/// What the library may spend on a form, and on each step in a text.
fn limits(form: &Form) -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: 500_000,
        step_lexer_fuel: 200_000,
        // Ambiguous grammars take time in proportion to the square of this. JSON is hardly ever ambiguous; an object with 500
        // optional properties needs 35,000, and half a millisecond.
        step_max_items: match form {
            Form::JsonObject | Form::JsonSchema(_) => 200_000,
            Form::Regex(_) | Form::Lark(_) => 10_000,
        },
        max_items_in_row: 2000,
        max_lexer_states: 100_000,
        // More would overflow the library's tables.
        max_grammar_size: 50_000,
        // Would walk the whole vocabulary for each long regex, to make cheaper what is cheap enough.
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}
