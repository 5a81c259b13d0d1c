"""The table of the finish reasons of all providers."""

import re
from enum import StrEnum

from batches.engine.errors import ServerError
from batches.engine.records import Reply

MAX_REASON_CHARS = 64


class Ending(StrEnum):
    """The way in which an answer ended."""

    COMPLETE = "complete"
    CUT = "cut"
    FILTERED = "filtered"
    ERROR = "error"
    TOOL = "tool"
    # No reason, or one that is not in the table: only the answer itself can show how it ended.
    UNKNOWN = "unknown"


# Words in lower case with underscores, as `_normalised` returns them, and the providers that use
# them.
_ROWS: tuple[tuple[str, Ending, str], ...] = (
    ("stop", Ending.COMPLETE, "OpenAI and all that follow it; Gemini, Vertex (STOP)"),
    ("completed", Ending.COMPLETE, "OpenAI Responses, status"),
    ("end_turn", Ending.COMPLETE, "Anthropic, Bedrock"),
    ("stop_sequence", Ending.COMPLETE, "Anthropic, Bedrock, TGI, Cohere (STOP_SEQUENCE)"),
    ("eos", Ending.COMPLETE, "Together, llama.cpp"),
    ("eos_token", Ending.COMPLETE, "TGI, Hugging Face endpoints"),
    ("complete", Ending.COMPLETE, "Cohere (COMPLETE)"),
    ("stop_token", Ending.COMPLETE, "gateways before local servers"),
    ("stop_criteria_met", Ending.COMPLETE, "AI21 on Bedrock"),
    ("end_of_text", Ending.COMPLETE, "AI21 (endoftext), watsonx (EOS_TOKEN)"),
    ("endoftext", Ending.COMPLETE, "AI21"),
    ("end", Ending.COMPLETE, "gateways"),
    ("finish", Ending.COMPLETE, "Bedrock (FINISH)"),
    ("finished", Ending.COMPLETE, "gateways"),
    ("done", Ending.COMPLETE, "Ollama (done_reason), gateways"),
    ("normal", Ending.COMPLETE, "Baidu"),
    ("length", Ending.CUT, "OpenAI and all that follow it"),
    ("max_tokens", Ending.CUT, "Anthropic, Bedrock; Gemini, Cohere, watsonx (MAX_TOKENS)"),
    ("max_output_tokens", Ending.CUT, "OpenAI Responses, incomplete_details"),
    ("max_completion_tokens", Ending.CUT, "gateways"),
    ("max_new_tokens", Ending.CUT, "Hugging Face"),
    ("max_length", Ending.CUT, "Hugging Face, Triton"),
    ("max_prompt_tokens", Ending.CUT, "OpenAI Assistants, incomplete_details"),
    ("model_length", Ending.CUT, "Mistral"),
    ("model_context_window_exceeded", Ending.CUT, "Anthropic, Bedrock"),
    ("context_window_exceeded", Ending.CUT, "gateways"),
    ("context_length", Ending.CUT, "gateways"),
    ("context_length_exceeded", Ending.CUT, "gateways"),
    ("context_length_reached", Ending.CUT, "LM Studio (contextLengthReached)"),
    ("max_predicted_tokens_reached", Ending.CUT, "LM Studio (maxPredictedTokensReached)"),
    ("error_limit", Ending.CUT, "Cohere (ERROR_LIMIT)"),
    ("token_limit", Ending.CUT, "watsonx (TOKEN_LIMIT)"),
    ("limit", Ending.CUT, "Ollama, old llama.cpp"),
    ("output_limit", Ending.CUT, "gateways"),
    ("truncated", Ending.CUT, "gateways"),
    ("incomplete", Ending.CUT, "OpenAI Responses, status"),
    ("pause_turn", Ending.CUT, "Anthropic"),
    ("compaction", Ending.CUT, "Anthropic"),
    ("repetition", Ending.CUT, "vLLM"),
    ("repetition_truncation", Ending.CUT, "Moonshot, gateways"),
    ("content_filter", Ending.FILTERED, "OpenAI, Azure, DeepSeek, Vertex"),
    ("content_filtered", Ending.FILTERED, "Bedrock"),
    ("guardrail_intervened", Ending.FILTERED, "Bedrock, Databricks"),
    ("refusal", Ending.FILTERED, "Anthropic: its classifiers stopped the answer"),
    ("safety", Ending.FILTERED, "Gemini, Vertex (SAFETY); gateways"),
    ("recitation", Ending.FILTERED, "Gemini, Vertex (RECITATION)"),
    ("blocklist", Ending.FILTERED, "Gemini, Vertex (BLOCKLIST)"),
    ("prohibited_content", Ending.FILTERED, "Gemini, Vertex (PROHIBITED_CONTENT)"),
    ("spii", Ending.FILTERED, "Gemini, Vertex (SPII)"),
    ("language", Ending.FILTERED, "Gemini (LANGUAGE)"),
    ("image_safety", Ending.FILTERED, "Gemini (IMAGE_SAFETY)"),
    ("image_recitation", Ending.FILTERED, "Gemini (IMAGE_RECITATION)"),
    ("image_prohibited_content", Ending.FILTERED, "Gemini (IMAGE_PROHIBITED_CONTENT)"),
    ("model_armor", Ending.FILTERED, "Vertex (MODEL_ARMOR)"),
    ("sensitive", Ending.FILTERED, "Zhipu"),
    ("error_toxic", Ending.FILTERED, "Cohere (ERROR_TOXIC)"),
    ("moderation", Ending.FILTERED, "gateways"),
    ("blocked", Ending.FILTERED, "gateways"),
    ("flagged", Ending.FILTERED, "gateways"),
    ("risk", Ending.FILTERED, "Chinese gateways"),
    ("error", Ending.ERROR, "OpenRouter, Mistral, SGLang, Cohere (ERROR)"),
    ("failed", Ending.ERROR, "OpenAI Responses, status"),
    ("abort", Ending.ERROR, "vLLM, SGLang"),
    ("aborted", Ending.ERROR, "gateways"),
    ("cancelled", Ending.ERROR, "OpenAI Responses, status; watsonx (CANCELLED)"),
    ("canceled", Ending.ERROR, "gateways"),
    ("user_cancel", Ending.ERROR, "Cohere (USER_CANCEL)"),
    ("user_stopped", Ending.ERROR, "LM Studio (userStopped)"),
    ("model_unloaded", Ending.ERROR, "LM Studio (modelUnloaded)"),
    ("network_error", Ending.ERROR, "Zhipu"),
    ("insufficient_system_resource", Ending.ERROR, "DeepSeek"),
    ("timeout", Ending.ERROR, "gateways, Cohere (TIMEOUT)"),
    ("time_limit", Ending.ERROR, "watsonx (TIME_LIMIT)"),
    ("server_error", Ending.ERROR, "gateways"),
    ("internal_error", Ending.ERROR, "gateways"),
    ("engine_error", Ending.ERROR, "gateways"),
    ("other", Ending.ERROR, "Gemini, Vertex (OTHER)"),
    ("malformed_function_call", Ending.ERROR, "Gemini, Vertex (MALFORMED_FUNCTION_CALL)"),
    ("malformed_response", Ending.ERROR, "Gemini (MALFORMED_RESPONSE)"),
    ("unexpected_tool_call", Ending.ERROR, "Gemini, Vertex (UNEXPECTED_TOOL_CALL)"),
    ("too_many_tool_calls", Ending.ERROR, "Gemini (TOO_MANY_TOOL_CALLS)"),
    ("missing_thought_signature", Ending.ERROR, "Gemini (MISSING_THOUGHT_SIGNATURE)"),
    ("malformed_model_output", Ending.ERROR, "Bedrock"),
    ("malformed_tool_use", Ending.ERROR, "Bedrock"),
    ("tool_calls", Ending.TOOL, "OpenAI and all that follow it"),
    ("tool_call", Ending.TOOL, "Cohere (TOOL_CALL), gateways"),
    ("tool_use", Ending.TOOL, "Anthropic, Bedrock"),
    ("function_call", Ending.TOOL, "OpenAI, before tools"),
)

ENDINGS: dict[str, Ending] = {word: ending for word, ending, _seen_at in _ROWS}

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ODD = re.compile(r"[^a-z0-9]+")
_PREFIX = re.compile(r"^(?:finish|stop|done)_?reason_")


def ending_of(reason: str) -> Ending:
    """Return the meaning of a finish reason, spelled as MAX_TOKENS, maxTokens or max-tokens."""
    return ENDINGS.get(_normalised(reason[:MAX_REASON_CHARS]), Ending.UNKNOWN)


def raise_if_broken_off(reply: Reply) -> None:
    """Raise ServerError, which is retried, for an answer that a provider error cut off.

    Half an answer is useless even for a prompt without a schema.
    """
    if ending_of(reply.finish_reason) is Ending.ERROR:
        raise ServerError(
            f"the provider broke off the answer (finish reason {reply.finish_reason!r})",
            status_code=reply.status_code,
            request_id=reply.request_id,
            body=reply.body,
        )


def _normalised(reason: str) -> str:
    """Return a reason in lower case, without the name of its enumeration."""
    words = _ODD.sub("_", _HUMP.sub("_", reason.strip()).lower()).strip("_")
    return _PREFIX.sub("", words)
