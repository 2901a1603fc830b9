//! The plugins that the binary carries, so that it serves without any file beside it.

use artifact::Capability::{self, Config, Log};

/// A component in the binary.
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    pub(crate) wasm: &'static [u8],
    /// What it is granted where the operator says nothing: what it asks for.
    pub(crate) grants: &'static [Capability],
}

/// OpenAI's chat completions, responses, completions, embeddings and models.
pub(crate) const OPENAI_ROUTER: Builtin = Builtin {
    name: "openai-router",
    wasm: include_bytes!("../../../plugins/dist/openai-router.wasm"),
    grants: &[Config],
};

/// The model's own Jinja template.
pub(crate) const CHAT_TEMPLATE: Builtin = Builtin {
    name: "chat-template",
    wasm: include_bytes!("../../../plugins/dist/chat-template.wasm"),
    grants: &[],
};

/// Defaults, clamps and refusals.
pub(crate) const REQUEST_SHAPER: Builtin = Builtin {
    name: "request-shaper",
    wasm: include_bytes!("../../../plugins/dist/request-shaper.wasm"),
    grants: &[Config, Log],
};

/// The web page at `/`.
pub(crate) const CONSOLE: Builtin = Builtin {
    name: "console",
    wasm: include_bytes!("../../../plugins/dist/console.wasm"),
    grants: &[],
};

/// Those that can be in the path of a request.
pub(crate) const PLUGINS: [Builtin; 3] = [OPENAI_ROUTER, CHAT_TEMPLATE, REQUEST_SHAPER];

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    #[test]
    fn the_embedded_components_are_those_whose_digests_are_recorded() {
        let recorded = include_str!("../../../plugins/dist/SHA256SUMS");
        for builtin in super::PLUGINS.iter().chain([&super::CONSOLE]) {
            let digest: String = Sha256::digest(builtin.wasm)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let line = format!("{digest}  {}.wasm", builtin.name);
            assert!(
                recorded.lines().any(|recorded| recorded == line),
                "run plugins/build: SHA256SUMS lacks {line}"
            );
        }
    }
}
