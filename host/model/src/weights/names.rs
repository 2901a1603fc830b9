//! What tensors are called in each kind of file.

/// Whose names a source uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    HuggingFace,
    Gguf,
}

/// A tensor that every layer has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerTensor {
    AttentionNorm,
    Q,
    QBias,
    K,
    KBias,
    V,
    VBias,
    QNorm,
    KNorm,
    Output,
    OutputBias,
    FfnNorm,
    Gate,
    GateBias,
    Up,
    UpBias,
    Down,
    DownBias,
}

impl Naming {
    fn pick(self, huggingface: &'static str, gguf: &'static str) -> &'static str {
        match self {
            Self::HuggingFace => huggingface,
            Self::Gguf => gguf,
        }
    }

    pub(crate) fn embedding(self) -> &'static str {
        self.pick("model.embed_tokens.weight", "token_embd.weight")
    }

    pub(crate) fn final_norm(self) -> &'static str {
        self.pick("model.norm.weight", "output_norm.weight")
    }

    pub(crate) fn head(self) -> &'static str {
        self.pick("lm_head.weight", "output.weight")
    }

    pub(crate) fn layer(self, index: usize, tensor: LayerTensor) -> String {
        let name = match tensor {
            LayerTensor::AttentionNorm => self.pick("input_layernorm.weight", "attn_norm.weight"),
            LayerTensor::Q => self.pick("self_attn.q_proj.weight", "attn_q.weight"),
            LayerTensor::QBias => self.pick("self_attn.q_proj.bias", "attn_q.bias"),
            LayerTensor::K => self.pick("self_attn.k_proj.weight", "attn_k.weight"),
            LayerTensor::KBias => self.pick("self_attn.k_proj.bias", "attn_k.bias"),
            LayerTensor::V => self.pick("self_attn.v_proj.weight", "attn_v.weight"),
            LayerTensor::VBias => self.pick("self_attn.v_proj.bias", "attn_v.bias"),
            LayerTensor::QNorm => self.pick("self_attn.q_norm.weight", "attn_q_norm.weight"),
            LayerTensor::KNorm => self.pick("self_attn.k_norm.weight", "attn_k_norm.weight"),
            LayerTensor::Output => self.pick("self_attn.o_proj.weight", "attn_output.weight"),
            LayerTensor::OutputBias => self.pick("self_attn.o_proj.bias", "attn_output.bias"),
            LayerTensor::FfnNorm => self.pick("post_attention_layernorm.weight", "ffn_norm.weight"),
            LayerTensor::Gate => self.pick("mlp.gate_proj.weight", "ffn_gate.weight"),
            LayerTensor::GateBias => self.pick("mlp.gate_proj.bias", "ffn_gate.bias"),
            LayerTensor::Up => self.pick("mlp.up_proj.weight", "ffn_up.weight"),
            LayerTensor::UpBias => self.pick("mlp.up_proj.bias", "ffn_up.bias"),
            LayerTensor::Down => self.pick("mlp.down_proj.weight", "ffn_down.weight"),
            LayerTensor::DownBias => self.pick("mlp.down_proj.bias", "ffn_down.bias"),
        };
        format!("{}.{index}.{name}", self.pick("model.layers", "blk"))
    }
}
