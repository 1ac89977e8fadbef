"""What a training run is told: its recipe, and how it is run. The commands' flags are made of these fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mivla_drivers.errors import DataError
from mivla_policy.data.choices import OBJECTIVES, USES

PRECISIONS = ("auto", "bf16", "float32")
ENGINES = ("ddp", "fsdp")
PAPER = {"learning_rate": 1e-4, "weight_decay": 0.01, "cooldown_share": 0.0, "average_decay": 0.0}
"""Section 4.1 of the paper, of pre-training and fine-tuning alike: AdamW, a constant rate after warm-up."""
PAPER_BATCH = {"pretrain": 128, "finetune": 32}  # 4 GPUs of 32 samples, and 2 of 16


def option(default: Any, text: str, choices: tuple[str, ...] | None = None) -> Any:
    """A field with the help of the flag that is made of it."""
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Recipe:
    """What decides the result of a run, but for its data, model and base; a continuation must have the same.

    Where the paper says nothing (warm-up, betas, clipping), H-RDT's.

    Raises:
        DataError: a value with which nothing can be trained.
    """

    steps: int = option(3000, "optimiser steps")
    batch_size: int = option(PAPER_BATCH["pretrain"], "samples a step, all processes together")
    learning_rate: float = option(PAPER["learning_rate"], "of AdamW")
    weight_decay: float = option(PAPER["weight_decay"], "of AdamW, of matrices")
    beta1: float = option(0.9, "of AdamW")
    beta2: float = option(0.999, "of AdamW")
    warmup_steps: int = option(500, "over which the rate rises to the learning rate")
    cooldown_share: float = option(
        PAPER["cooldown_share"], "last share of the steps, over which the rate falls to 0"
    )
    gradient_clip: float = option(1.0, "largest norm of the gradient")
    average_decay: float = option(
        PAPER["average_decay"],
        "of the moving average of the weights, which is saved instead of them; 0: none",
    )
    objective: str = option("h2r+r2h", "what is learned from whom", tuple(sorted(OBJECTIVES)))
    every: int = option(1, "frames between two samples of a demonstration; 0: a step of the chunk")
    use: str = option("all", "of recordings: all, or corrections alone (a person had the robot)", USES)
    augment: float = option(0.5, "share of images that are seen in other colours and from a little elsewhere")
    cache_tokens: int = option(
        -1,
        "keep each image's tokens on disk, in so many versions (the first is plain, others augmented); "
        "0: encode in every step; -1: 1 on cpu, 0 on cuda and for corrections",
    )
    precision: str = option("auto", "auto: bf16 on cuda, float32 on cpu", PRECISIONS)
    seed: int = option(0, "of weights, order of samples and noise")

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise DataError(f"objective: expected one of {sorted(OBJECTIVES)}, got {self.objective!r}")
        if self.precision not in PRECISIONS:
            raise DataError(f"precision: expected one of {PRECISIONS}, got {self.precision!r}")
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise DataError(f"training: {name}: expected at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "gradient_clip"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise DataError(f"training: {name}: expected a number above 0, got {getattr(self, name)}")
        for name in ("cooldown_share", "average_decay", "augment"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise DataError(f"training: {name}: expected 0 to 1, got {getattr(self, name)}")
        if self.cache_tokens < -1 or self.every < 0:
            raise DataError(
                f"training: expected every >= 0 and cache_tokens >= -1, got {self.every} and {self.cache_tokens}"
            )

    def on(self, device: str) -> Recipe:
        """With everything settled that is left to the device."""
        on_cuda = device.startswith("cuda")
        precision = self.precision if self.precision != "auto" else ("bf16" if on_cuda else "float32")
        # Tokens are kept of every sample, of which corrections are few.
        versions = self.cache_tokens if self.cache_tokens >= 0 else int(not on_cuda and self.use == "all")
        # Images of which one plain version is kept are never changed.
        augment = 0.0 if versions == 1 else self.augment
        return replace(self, precision=precision, cache_tokens=versions, augment=augment)

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, constant, linear cool-down."""
        warm = min(1.0, (step + 1) / max(1, self.warmup_steps))
        cooling = self.steps * self.cooldown_share
        cool = 1.0 if cooling == 0 else min(1.0, max(0.0, (self.steps - step) / cooling))
        return self.learning_rate * warm * cool

    def differences(self, run: str) -> dict[str, tuple[Any, Any]]:
        """{field: (the paper's, this one's)} where they differ; `run` is "pretrain" or "finetune"."""
        paper = {**PAPER, "batch_size": PAPER_BATCH[run], "augment": 0.0}
        own = {name: getattr(self, name) for name in paper}
        return {name: (value, own[name]) for name, value in paper.items() if own[name] != value}

    def kept(self) -> dict[str, Any]:
        """What a continuation must have in common; without a cool-down it may be longer."""
        values = asdict(self)
        if not self.cooldown_share:
            del values["steps"]
        return values


@dataclass(frozen=True)
class Machine:
    """How a run is done on its machines; it changes nothing of the result but rounding."""

    device: str = option("cpu", "cpu or cuda")
    processes: int = option(1, "start so many on this machine")
    sharding: str = option("ddp", "of several processes: copies (ddp) or shares (fsdp) of the model", ENGINES)
    workers: int = option(0, "processes that read and decode, of each process; 0: itself")
    gradient_checkpointing: bool = option(False, "less memory, a third more time")
    compile: bool = option(False, "compile the frozen image encoders (cuda)")
    log_every: int = option(20, "steps between two rows of the log")
    save_every: int = option(500, "steps between two checkpoints")


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        kind: "pretrain" or "finetune".
        out: the new policy's folder.
        recipe, machine: see there.
        command: that it was started with, for the card.
    """

    kind: str
    out: Path
    recipe: Recipe
    machine: Machine = field(default_factory=Machine)
    command: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipe", self.recipe.on(self.machine.device))
