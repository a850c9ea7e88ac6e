"""Takes personal and secret strings out of a text before it is kept: by pattern, so names and free descriptions stay.

An endpoint that needs those out names another way in its config (`records.redaction`).
"""

import re

_CARD = re.compile(r"\b(?:\d[ -]?){12,18}\d\b")
_BEFORE_CARDS = (
    ("KEY", re.compile(r"\b(?:tg_[0-9a-f]{16}_[\w-]{16,}|sk-[\w-]{16,}|gh[pousr]_\w{20,}|AKIA[0-9A-Z]{16})")),
    ("KEY", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*")),
    ("SECRET", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)),
    ("SECRET", re.compile(r"(?i)(?<=\bbearer )[\w.~+/-]{8,}=*")),
    ("SECRET", re.compile(r"(?i)\b(?:password|passwd|secret|api[_-]?key|token)(?:\s*[:=]\s*|\s+is\s+)[\"']?\S{4,}")),
)
_AFTER_CARDS = (
    ("EMAIL", re.compile(r"\b[\w.%+-]+@[\w-]+(?:\.[\w-]+)+\b")),
    ("IBAN", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")),
    ("IP", re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")),
    ("PHONE", re.compile(r"(?<![\w.])(?:\+|00)\d[\d ()./-]{6,}\d\b|(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b")),
)


def redact(text: str) -> str:
    """The text with each find replaced by its kind: `[EMAIL]`, `[CARD]`, `[KEY]` …"""
    for kind, pattern in _BEFORE_CARDS:
        text = pattern.sub(f"[{kind}]", text)
    text = _CARD.sub(lambda found: "[CARD]" if _is_card(found[0]) else found[0], text)
    for kind, pattern in _AFTER_CARDS:
        text = pattern.sub(f"[{kind}]", text)
    return text


def _is_card(text: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1)."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
