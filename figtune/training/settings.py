"""Settings of a training run; `config.py` holds their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from figtune.core.settings import check_setting
from figtune.models.records import LossPer

Scheduler = Literal["cosine", "linear", "constant"]
OptimizerName = Literal["adamw", "adamw_8bit"]
_AUTO_BATCH = re.compile(r"(?<![^\0])--train\.batch[-_]size[=\0]auto(?![^\0])")
"""The flag and its value among arguments that NUL separates."""


def with_auto_batch(arguments: Sequence[str]) -> list[str]:
    """Write `--train.batch_size auto` as `--train.auto_batch`, which leaves the number that makes up a step."""
    return _AUTO_BATCH.sub("--train.auto_batch", "\0".join(arguments)).split("\0") if arguments else []


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The training run."""

    epochs: float
    """Passes over the training examples."""
    batch_size: int
    """Maximum examples per forward pass and device. Examples of one figure go through Gemma 3 together. `auto` on the
    command line sets --train.auto_batch."""
    max_batch_tokens: int
    """Maximum tokens per forward pass and device, image tokens and padding included. It bounds batches of long
    examples, so that a large --train.batch_size can apply to short ones."""
    gradient_accumulation_steps: int
    """Batches per optimizer step and device, each in a forward pass of its own without --train.auto_batch."""
    loss_per: LossPer
    """Unit over which the loss of an optimizer step is averaged: "token"; "example", where a short answer counts as
    much as a long description; or "square_root" of an example's tokens, between both."""
    question_share: float
    """Share of short questions and words to read among the examples of an epoch, drawn anew for each, repeated where
    there are too few; 0 takes every example once."""
    visual_weight: float
    """Weight taken from target tokens that the model, as it stands before training, finds as likely with a grey image
    as with the right one; those that the image makes likelier keep more of theirs. 0 weights all alike."""
    learning_rate: float
    """Peak learning rate (after warmup)."""
    projector_learning_rate: float
    """Peak learning rate of the projector, where it is trained; 0 for the same as --train.learning_rate. A projector
    with random weights wants more than LoRA."""
    fit_projector: bool
    """Before the first step, fit the projector in closed form to the words of the training targets: for a base model
    whose projector has random weights, not for one that has been trained."""
    scheduler: Scheduler
    """Learning-rate schedule after the warmup."""
    warmup_fraction: float
    """Share of the steps in which the learning rate rises."""
    optimizer: OptimizerName
    """AdamW, or "adamw_8bit": its state takes a quarter of the memory."""
    weight_decay: float
    """Weight decay of AdamW."""
    max_grad_norm: float
    """Norm to which gradients are clipped."""
    activation_checkpointing: bool
    """Recompute the decoder's activations in the backward pass: less memory, one more forward pass."""
    auto_checkpointing: bool
    """Keep activations nevertheless where they fit into free memory by estimate; when memory runs out, go on with
    recomputing (one process only). The steps stay the same."""
    auto_batch: bool
    """Choose by free memory how many of a step's batches go through in one forward pass; the steps stay the same. When
    memory runs out nevertheless, go on with fewer, in the end with smaller batches and more accumulation (one process
    only). `--train.batch_size auto` is short for this."""
    evaluations: int
    """Number of evaluations on val and minitrain, evenly over the run; each one saves a checkpoint."""
    patience: int
    """Early stopping: evaluations without a lower loss on val before the run stops; 0 for never."""
    answers: int
    """Number of val examples answered at each evaluation and kept in answers.jsonl; 0 for none."""
    save_total_limit: int
    """Number of checkpoints kept, the best on val among them."""
    trackers: tuple[str, ...]
    """Experiment trackers, of those that transformers knows: tensorboard, wandb, mlflow and others."""
    seed: int
    """Seed of the order of examples, of dropout and of the first adapter weights."""

    def __post_init__(self) -> None:
        check_setting(0 < self.epochs < inf, "train.epochs", "a number above 0")
        check_setting(self.batch_size >= 1, "train.batch_size", "1 or more")
        check_setting(self.max_batch_tokens >= 1, "train.max_batch_tokens", "1 or more")
        check_setting(self.gradient_accumulation_steps >= 1, "train.gradient_accumulation_steps", "1 or more")
        check_setting(0 <= self.question_share < 1, "train.question_share", "from 0 to below 1")
        check_setting(0 <= self.visual_weight < 1, "train.visual_weight", "from 0 to below 1")
        check_setting(0 < self.learning_rate < inf, "train.learning_rate", "a number above 0")
        rate = self.projector_learning_rate
        check_setting(0 <= rate < inf, "train.projector_learning_rate", "0 or more")
        check_setting(0 <= self.warmup_fraction < 1, "train.warmup_fraction", "from 0 to below 1")
        check_setting(0 <= self.weight_decay < inf, "train.weight_decay", "0 or more")
        check_setting(0 < self.max_grad_norm < inf, "train.max_grad_norm", "a number above 0")
        check_setting(self.evaluations >= 1, "train.evaluations", "1 or more")
        check_setting(self.patience >= 0, "train.patience", "0 or more")
        check_setting(self.answers >= 0, "train.answers", "0 or more")
        check_setting(self.save_total_limit >= 1, "train.save_total_limit", "1 or more")
        check_setting(0 <= self.seed < 2**32, "train.seed", "from 0 to 4294967295")  # what NumPy takes
