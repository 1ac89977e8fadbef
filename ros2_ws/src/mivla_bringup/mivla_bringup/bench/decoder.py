"""The decoder against H-RDT's way of inference, which computes everything again at every flow step."""

from __future__ import annotations

from mivla_bringup.bench.rows import Row
from mivla_policy.benchmarks.decoder_speed import BASE_TOKENS, INSTRUCTION_TOKENS, compare
from mivla_policy.model.config import DecoderConfig, mivla_base, mivla_small, with_decoder


def measure_decoder(base_blocks: int, repeats: int = 3) -> list[Row]:
    """Both ways at equal weights and inputs, in one run: mivla_small, and mivla_base cut to `base_blocks`.

    A block more costs both ways the same share, so the ratio of few blocks is that of all 16.
    """
    small = mivla_small().decoder
    base = with_decoder(mivla_base(), blocks=base_blocks).decoder
    return [
        *_compare("mivla_small", small, small.image_tokens, 10 * repeats),
        *_compare("mivla_base", base, BASE_TOKENS, repeats),
    ]


def _compare(name: str, config: DecoderConfig, image_tokens: int, repeats: int) -> list[Row]:
    found = compare(config, repeats, image_tokens=image_tokens)
    sizes = (
        f"width {config.width}, {config.blocks} blocks, {config.heads}/{config.kv_heads} heads, horizon "
        f"{config.horizon}, {image_tokens} image and {INSTRUCTION_TOKENS} language tokens, 5 steps"
    )
    return [
        Row(f"{name}, recomputed", 1e3 * found["recomputed_s"], "ms", sizes),
        Row(f"{name}, cached", 1e3 * found["cached_s"], "ms", "keys, values, modulations once"),
        Row(f"{name}, speed-up", found["speedup"], "x"),
        Row(f"{name}, largest difference", found["largest_difference"], "", "of the two outputs"),
    ]
