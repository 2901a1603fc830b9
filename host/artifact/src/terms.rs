//! The words that manifests, the operator's files and error messages share.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Speaks a client's protocol.
    Router,
    /// Changes or refuses requests.
    Shaper,
    /// Writes prompts and reads answers.
    ChatTemplate,
    /// A user's own HTTP handler.
    Function,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 4] = [
        Role::Router,
        Role::Shaper,
        Role::ChatTemplate,
        Role::Function,
    ];

    /// Its name in manifests and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Router => "router",
            Role::Shaper => "shaper",
            Role::ChatTemplate => "chat-template",
            Role::Function => "function",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a component can ask for and an operator grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Writing to the operator's log.
    Log,
    /// Reading its own settings.
    Config,
    /// Knowing the time.
    Clock,
    /// Unpredictable bytes.
    Random,
    /// A store of its own that outlives its instances.
    KeyValue,
    /// Calling the model.
    Inference,
    /// HTTP requests to hosts that the operator lists.
    OutgoingHttp,
}

impl Capability {
    /// All capabilities.
    pub const ALL: [Capability; 7] = [
        Capability::Log,
        Capability::Config,
        Capability::Clock,
        Capability::Random,
        Capability::KeyValue,
        Capability::Inference,
        Capability::OutgoingHttp,
    ];

    /// Its name in manifests and grants.
    pub fn as_str(self) -> &'static str {
        match self {
            Capability::Log => "log",
            Capability::Config => "config",
            Capability::Clock => "clock",
            Capability::Random => "random",
            Capability::KeyValue => "key-value",
            Capability::Inference => "inference",
            Capability::OutgoingHttp => "outgoing-http",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
