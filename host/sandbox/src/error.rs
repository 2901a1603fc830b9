//! What can go wrong with a plugin, and where.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A plugin failed. The host and its other requests are unharmed, and the instance that failed is not used again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("plugin `{plugin}` failed in `{phase}`: {fault}")]
pub struct PluginError {
    /// The operator's name of the plugin.
    pub plugin: Arc<str>,
    /// What it was doing.
    pub phase: Phase,
    /// What happened.
    pub fault: Fault,
    /// Where in the guest, innermost call first, if it trapped. For the author's eyes: it names functions of the component.
    pub backtrace: Option<Arc<str>>,
}

/// What a plugin was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Being compiled and linked.
    Load,
    /// Being instantiated for a request.
    Start,
    /// A router names its paths.
    Routes,
    /// A router reads a request.
    Parse,
    /// A shaper changes or refuses a request.
    Shape,
    /// A chat template writes a prompt.
    Render,
    /// A chat template makes a parser for one choice.
    ParserNew,
    /// A parser reads text.
    ParserPush,
    /// A parser returns what it held back.
    ParserFinish,
    /// A router's reply gives its headers.
    ReplyHeaders,
    /// A router's reply encodes events.
    ReplyPush,
    /// A router's reply ends well.
    ReplyFinish,
    /// A router's reply ends with an error.
    ReplyFail,
    /// A function answers a request.
    Handle,
}

impl Phase {
    /// All phases, in the order of a request.
    pub const ALL: [Phase; 14] = [
        Phase::Load,
        Phase::Start,
        Phase::Routes,
        Phase::Parse,
        Phase::Shape,
        Phase::Render,
        Phase::ParserNew,
        Phase::ParserPush,
        Phase::ParserFinish,
        Phase::ReplyHeaders,
        Phase::ReplyPush,
        Phase::ReplyFinish,
        Phase::ReplyFail,
        Phase::Handle,
    ];

    /// The phase in one word, as in error messages and metric labels. Calls bear their names in the WIT package.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Load => "load",
            Phase::Start => "start",
            Phase::Routes => "routes",
            Phase::Parse => "parse",
            Phase::ReplyHeaders => "reply.headers",
            Phase::ReplyPush => "reply.push",
            Phase::ReplyFinish => "reply.finish",
            Phase::ReplyFail => "reply.fail",
            Phase::Handle => "handle",
            Phase::Shape => "shape",
            Phase::Render => "render",
            Phase::ParserNew => "output-parser.new",
            Phase::ParserPush => "output-parser.push",
            Phase::ParserFinish => "output-parser.finish",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened to a plugin, and what an operator can do about it. Limits are fields of [`Limits`](crate::Limits).
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The guest trapped: it panicked, overflowed its stack, or accessed memory out of bounds.
    #[error(
        "it trapped ({0}); this is a bug in the plugin: load a version that works, or tell its author"
    )]
    Trap(String),
    /// The call took longer than the wall deadline.
    #[error(
        "the call took longer than {0:?}; if the plugin needs that long, raise `wall_deadline`"
    )]
    Timeout(Duration),
    /// The guest computed for longer than its CPU budget.
    #[error("it computed for longer than {0:?}; if the plugin needs that long, raise `cpu_budget`")]
    CpuBudget(Duration),
    /// The guest asked for more memory than it may have, in bytes.
    #[error(
        "it asked for more than {0} bytes of memory; if the plugin needs that much, raise `memory_bytes`"
    )]
    Memory(usize),
    /// The guest passed more to the host than it may, in bytes.
    #[error("it returned more than {0} bytes; if the plugin needs to, raise `max_output_bytes`")]
    OutputTooLarge(usize),
    /// No instance was free.
    #[error("all {0} instances are in use; try again later, or raise `max_instances`")]
    Overloaded(u32),
    /// The guest returned something that its contract forbids.
    #[error(
        "it broke its contract: {0}; this is a bug in the plugin: load a version that works, or tell its author"
    )]
    Contract(String),
    /// The instance was left by an earlier call that failed or was abandoned.
    #[error(
        "its instance cannot be called again after an earlier call failed or was abandoned; begin a new request"
    )]
    Unusable,
    /// The component cannot be used: not valid, not for this role, or importing what it was not granted.
    #[error("{0}")]
    Load(String),
}

impl Fault {
    /// All labels that [`label`](Fault::label) returns.
    pub const LABELS: [&'static str; 9] = [
        "trap",
        "timeout",
        "cpu_budget",
        "memory",
        "output_too_large",
        "overloaded",
        "contract",
        "unusable",
        "load",
    ];

    /// The kind of fault in one word, for metric labels.
    pub fn label(&self) -> &'static str {
        Fault::LABELS[self.index()]
    }

    pub(crate) fn index(&self) -> usize {
        match self {
            Fault::Trap(_) => 0,
            Fault::Timeout(_) => 1,
            Fault::CpuBudget(_) => 2,
            Fault::Memory(_) => 3,
            Fault::OutputTooLarge(_) => 4,
            Fault::Overloaded(_) => 5,
            Fault::Contract(_) => 6,
            Fault::Unusable => 7,
            Fault::Load(_) => 8,
        }
    }
}

/// The sandbox itself cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The limits leave no room for a plugin.
    #[error("the plugin limits cannot be used: {0}")]
    Limits(String),
    /// The runtime refused its settings, or there is no address space for the pool.
    #[error(
        "cannot set up the WebAssembly runtime: {0}; if address space is short, lower `max_instances` or `memory_bytes`"
    )]
    Runtime(String),
    /// The file of plugins' key-value pairs cannot be used.
    #[error("cannot use `{}` for plugins' key-value pairs: {why}", path.display())]
    KeyValue {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The folder for compiled plugins cannot be used.
    #[error("cannot use `{}` for compiled plugins: {why}", path.display())]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it and how to mend it.
        why: String,
    },
}
