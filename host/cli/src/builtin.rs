//! The plugins that the binary carries, so that it serves without any file beside it.

/// A component in the binary.
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    pub(crate) wasm: &'static [u8],
}

/// OpenAI's chat completions, completions and models.
pub(crate) const OPENAI_ROUTER: Builtin = Builtin {
    name: "openai-router",
    wasm: include_bytes!("../../../plugins/dist/openai-router.wasm"),
};

/// The model's own Jinja template.
pub(crate) const CHAT_TEMPLATE: Builtin = Builtin {
    name: "chat-template",
    wasm: include_bytes!("../../../plugins/dist/chat-template.wasm"),
};

/// Defaults, clamps and refusals.
pub(crate) const REQUEST_SHAPER: Builtin = Builtin {
    name: "request-shaper",
    wasm: include_bytes!("../../../plugins/dist/request-shaper.wasm"),
};

/// All of them.
pub(crate) const ALL: [Builtin; 3] = [OPENAI_ROUTER, CHAT_TEMPLATE, REQUEST_SHAPER];

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    #[test]
    fn the_embedded_components_are_those_whose_digests_are_recorded() {
        let recorded = include_str!("../../../plugins/dist/SHA256SUMS");
        for builtin in super::ALL {
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
