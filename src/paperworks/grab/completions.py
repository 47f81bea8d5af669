"""What endpoints answer, read without trust: any field may be missing or of another kind."""

from __future__ import annotations

import json
from typing import Any

from paperworks.grab.models import Finish


def parsed(answer: bytes) -> Any:
    """The JSON of an answer; None where it is none."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return None


def error_code(data: Any) -> str | None:
    """The code of an error in OpenAI's form."""
    error = data.get("error") if isinstance(data, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def tokens_of(data: Any) -> tuple[int, int] | None:
    """Prompt and answer tokens; None where the endpoint does not tell."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return None
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    if all(isinstance(count, int) and count >= 0 for count in counts):
        return counts  # type: ignore[return-value]
    return None


def first_choice(data: Any) -> dict[str, Any] | None:
    """The first choice of a completion; None where there is none."""
    choices = data.get("choices") if isinstance(data, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) and isinstance(first.get("message"), dict) else None


def text_and_finish(choice: dict[str, Any]) -> tuple[str | None, Finish]:
    """The text as the model gave it, and how it ended."""
    message = choice["message"]
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    text = content if isinstance(content, str) else None
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        return text or refusal, "refused"
    if choice.get("finish_reason") == "content_filter":
        return text, "refused"
    if choice.get("finish_reason") == "length":
        return text, "length"
    return text or "", "stop"


def message_of(data: Any, answer: bytes, status: int) -> str:
    """The server's own message, on one line of at most 400 characters."""
    message: Any = data
    if isinstance(data, dict):
        error = data.get("error", data)
        message = error.get("message", error) if isinstance(error, dict) else error
        message = message or data.get("detail") or data
    if isinstance(message, str):
        text = message
    elif data is not None:
        text = json.dumps(message)
    else:
        text = answer[:2000].decode("utf-8", "replace")
    text = " ".join(text.split())
    return (text[:400] + "…" if len(text) > 400 else text) or f"an empty answer (HTTP {status})"
