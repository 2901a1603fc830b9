from dataclasses import dataclass


@dataclass
class ApiError:
    status: int
    kind: str
    message: str
    param: str | None
    code: str | None
    retry_after_ms: int | None


@dataclass
class Message:
    role: str
    content: str | None
    reasoning: str | None
    name: str | None
    tool_calls: list
    tool_call_id: str | None


@dataclass
class ToolChoice_Auto:
    pass


@dataclass
class Conversation:
    messages: list
    tools: list
    tool_choice: ToolChoice_Auto
    parallel_tool_calls: bool
    add_generation_prompt: bool
    continue_final_message: bool
    template_variables: str | None


@dataclass
class Input_Chat:
    value: Conversation


@dataclass
class Input_Text:
    value: str


@dataclass
class Sampling:
    max_tokens: int | None
    min_tokens: int
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: list
    seed: int | None
    stop: list
    stop_token_ids: list
    ignore_eos: bool
    logprobs: int | None
    constraint: object


@dataclass
class InferenceRequest:
    model: str
    inputs: list
    n: int
    sampling: Sampling
    stream: bool
    echo: bool
    priority: int
    cache_salt: str | None
