"""What stands before a language encoder: sentences to token numbers, but for those that it cannot tell from others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Encoding, Tokenizer

from mivla_drivers.errors import DataError

MOST_WORDS = 5  # of those not known, in a message


def encoded(tokenizer: Tokenizer, instructions: Sequence[str], unknown: str, most: int) -> list[list[int]]:
    """Token numbers of each instruction.

    A word outside the vocabulary becomes the token `unknown`, so that sentences of opposite meaning in a language that
    the encoder never saw would be one and the same to the policy.

    Raises:
        DataError: an instruction is empty, longer than `most` tokens, or has words that are not known; names them.
    """
    number, rows = tokenizer.token_to_id(unknown), []
    for text in instructions:
        encoding = tokenizer.encode(text)
        if not text.strip() or len(encoding.ids) > most:
            raise DataError(f"instruction: expected 1 to {most} tokens, got {len(encoding.ids)}: {text!r}")
        words = _unknown(encoding, text, number)
        if words:
            named = ", ".join(repr(word) for word in words[:MOST_WORDS])
            raise DataError(
                f"instruction: expected words that the language encoder knows, found {named}"
                f"{' and more' * (len(words) > MOST_WORDS)} in {text!r}; it cannot tell them from others: "
                "say it in English"
            )
        rows.append(encoding.ids)
    return rows


def padded(
    rows: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token numbers as (B, L), L the longest row's length, and their mask (B, L) bool, false where padded."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[i < len(row) for i in range(longest)] for row in rows], device=device)
    return ids, mask


def _unknown(encoding: Encoding, text: str, number: int | None) -> list[str]:
    places = [place for place, found in zip(encoding.offsets, encoding.ids, strict=True) if found == number]
    return [text[start:end] for start, end in places]
