"""What may be said to a robot, checked before it reaches a node: a message that cannot be sent would end it."""

from __future__ import annotations

from mivla_drivers.errors import MivlaError

LONGEST_SENTENCE = 1000  # characters


class SentenceError(MivlaError):
    """No sentence that a ROS message can carry."""


def checked_sentence(text: str) -> str:
    """`text` itself.

    Raises:
        SentenceError: it is longer than `LONGEST_SENTENCE`, holds a zero, at which a ROS string ends, or bytes that
            are no text in UTF-8 (which Python keeps as lone surrogates).
    """
    if len(text) > LONGEST_SENTENCE:
        raise SentenceError(
            f"say: expected at most {LONGEST_SENTENCE} characters, got {len(text)}: nothing was said"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SentenceError(
            f"say: expected text in UTF-8, got other bytes from character {error.start + 1} on: nothing was said"
        ) from None
    if "\0" in text:
        raise SentenceError("say: expected text, got a zero byte: nothing was said")
    return text
