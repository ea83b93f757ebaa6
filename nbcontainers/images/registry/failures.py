"""Answers of a registry that are errors, as errors of ours: the one place where HTTP becomes a class.

Source: OCI distribution-spec § Error Codes; Docker's texts are ``code: message`` with the code in lower case.
"""

import msgspec

from nbcontainers import errors

_LONGEST_TEXT = 500
# What a registry would say itself, had the answer a body: that of a HEAD request has none.
_UNSAID = {401: "unauthorized: authentication required", 403: "denied: requested access to the resource is denied"}


class _Problem(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Problems(msgspec.Struct):
    errors: list[_Problem] | None = None
    details: str = ""  # Docker Hub's own, of a token server


def of_answer(status: int, reason: str, body: bytes, what: str) -> errors.Error:
    """Return the error that an answer stands for.

    Args:
        status: Of 400 or more.
        reason: The status as text.
        body: As JSON, where the registry keeps to the standard.
        what: The request, as ``GET https://…``, named where the registry says nothing itself.
    """
    text = _text(body) or _UNSAID.get(status) or f"{what}: {status} {reason}".strip()
    if status == 401:
        return errors.Unauthorized(text)
    if status == 403:
        return errors.Forbidden(text)
    if status == 404:
        return errors.NotFound(text)
    if status == 429 and not text.startswith("toomanyrequests"):
        text = f"toomanyrequests: {text}"
    return errors.RegistryError(text)


def _text(body: bytes) -> str:
    try:
        problems = msgspec.json.decode(body, type=_Problems)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    found = [f"{problem.code.lower().replace('_', ' ')}: {problem.message}" for problem in problems.errors or ()]
    return "\n".join(found)[:_LONGEST_TEXT] or problems.details[:_LONGEST_TEXT]
