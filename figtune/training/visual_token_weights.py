"""Weights of target tokens by what the image tells about them: Visual Information Gain, https://arxiv.org/abs/2602.17186.

A token that the model, before it is trained, finds p likely with the right image and g likely with a grey one, weighs
1 - W min(1, g / p), W being `--train.visual_weight`: 1 where the image tells all, 1 - W where it tells nothing. The
loss of an optimizer step is the weighted mean: larger weights do not raise the learning rate. A model that does not
look yet gives all tokens the same weight, and trains as with 0.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from figtune.batching.batch_sampler import BatchLimits, IndexBatch, eval_batches
from figtune.batching.collator import Collator, split_model_inputs
from figtune.batching.dataset import TokenizedSplit
from figtune.batching.loss import CompletionLoss
from figtune.batching.packing import SharedPrefixGroup, first_fit_decreasing
from figtune.core.distributed import barrier, broadcast, gather, is_rank_zero, shard
from figtune.core.io import atomic_write
from figtune.core.log import progress_bar
from figtune.models.feature_cache import ImageFiles, grey_images
from figtune.models.loading import LoadedModel
from figtune.training.run_trainer import batch_limits
from figtune.training.settings import TrainSettings

logger = logging.getLogger(__name__)

FILE = "visual_weights.safetensors"
_RATIOS, _RUN = "ratios", "run"
_TOLD = 0.5
"""Ratio of likelihoods up to which the logged line counts a token as made likelier by the image."""

_Ratios = list[tuple[int, list[float]]]
"""Examples, by index, with the ratio of the likelihoods, grey by right, of each target token."""


@dataclass(frozen=True)
class VisualWeights:
    """Likelihoods of a run's target tokens, measured before its first step and kept until it is finished."""

    folder: Path
    """Folder of the run's checkpoints."""
    run_id: str
    """Identity of the run, as its checkpoints name it."""
    files: ImageFiles

    def apply_to(
        self, split: TokenizedSplit, loaded: LoadedModel, collator: Collator, settings: TrainSettings
    ) -> TokenizedSplit:
        """Return the examples with a weight for each target token; as they are where tokens are not weighted.

        Each process measures a share of the same batches, so that their number changes nothing.
        """
        if not settings.visual_weight:
            return split
        counts = [each.example.num_target_tokens for each in split.examples]
        if not broadcast(lambda: self._is_complete(sum(counts))):
            measured = dict(gather(list(_measured(split, loaded, collator, self.files, batch_limits(settings)))))
            if is_rank_zero():
                self._save([ratio for index in range(len(counts)) for ratio in measured[index]])
            barrier()
        with safe_open(self._file, framework="pt") as kept:
            ratios: Tensor = kept.get_tensor(_RATIOS)
        told = float((ratios <= _TOLD).float().mean())
        logger.info(f"train: the images make {told:.1%} of the target tokens at least twice as likely; they weigh most")
        weights = torch.split(1 - settings.visual_weight * ratios.clamp(max=1), counts)
        weighted = [
            replace(each, example=replace(each.example, target_weights=array("f", of_it.tolist())))
            for each, of_it in zip(split.examples, weights, strict=True)
        ]
        return replace(split, examples=weighted)

    @property
    def _file(self) -> Path:
        return self.folder / FILE

    def _save(self, ratios: Sequence[float]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._file) as file:
            save_file({_RATIOS: torch.tensor(ratios, dtype=torch.float32)}, file, metadata={_RUN: self.run_id})

    def _is_complete(self, tokens: int) -> bool:
        if not self._file.is_file():
            return False
        try:
            with safe_open(self._file, framework="pt") as kept:
                is_ours = (kept.metadata() or {}).get(_RUN) == self.run_id
                return is_ours and kept.get_tensor(_RATIOS).shape == (tokens,)
        except (OSError, SafetensorError):
            return False


def _measured(
    split: TokenizedSplit, loaded: LoadedModel, collator: Collator, files: ImageFiles, limits: BatchLimits
) -> Iterator[tuple[int, list[float]]]:
    """Yield the ratios of this process's share of the examples."""
    greys = grey_images(loaded, files, (each.image_sha256 for each in split.examples))
    loss = CompletionLoss(loaded.peft_model, loaded.family)
    was_training = loss.training
    loss.eval()
    batches = shard(eval_batches(split.lengths(), limits))
    for batch in progress_bar(batches, total=len(batches), title="weighing tokens by their images", unit="batch"):
        groups = split.groups(batch)
        right, grey = (_losses(loaded, loss, each, groups) for each in (collator, replace(collator, images=greys)))
        yield from _by_example(batch, groups, torch.exp(right - grey))
    loss.train(was_training)


@torch.no_grad()
def _losses(
    loaded: LoadedModel, loss: CompletionLoss, collator: Collator, groups: Sequence[SharedPrefixGroup]
) -> Tensor:
    """Return the cross-entropy of each target token of a batch, row by row: float32[N]."""
    on_device = {name: tensor.to(loaded.device) for name, tensor in collator(groups).items()}
    return loss.token_losses(*split_model_inputs(on_device)).float().cpu()


def _by_example(batch: IndexBatch, groups: Sequence[SharedPrefixGroup], ratios: Tensor) -> _Ratios:
    """Assign the ratios of a batch's tokens, in the order of its rows, to the examples."""
    rows = first_fit_decreasing([group.length for group in groups])
    places = [(position, number) for row in rows for position in row for number in range(len(batch[position]))]
    counts = [groups[position].examples[number].num_target_tokens for position, number in places]
    of_examples = torch.split(ratios, counts)
    return [
        (batch[position][number], of_it.tolist()) for (position, number), of_it in zip(places, of_examples, strict=True)
    ]
