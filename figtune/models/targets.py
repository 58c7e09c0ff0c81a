"""Which parts of a model an adapter trains, and by which layers: read from the settings alone."""

from __future__ import annotations

from dataclasses import dataclass

from figtune.core.errors import UsageError
from figtune.models.records import AdapterRecord, Part

PARTS: tuple[Part, ...] = ("vision", "projector", "text")
DECODER_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear layers of the text decoder: the same names in Gemma, Gemma 2 and Gemma 3."""
VISION_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
"""Linear layers of SigLIP, the vision encoder of all families here."""

_DECODER = "decoder"
_PROJECTOR = "projector"
_VISION = "vision"
_KNOWN = (_DECODER, _PROJECTOR, _VISION, *DECODER_LAYERS)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is trained. A part is trained through LoRA in its layers, or whole."""

    decoder: tuple[str, ...] = ()
    """Linear layers of the text decoder that get LoRA matrices."""
    vision: tuple[str, ...] = ()
    """Linear layers of the vision encoder that get LoRA matrices."""
    whole: tuple[Part, ...] = ()
    """Parts of which every weight is trained."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts in which something is trained."""
        by_lora: dict[Part, bool] = {"vision": bool(self.vision), "text": bool(self.decoder), "projector": False}
        return tuple(part for part in PARTS if by_lora[part] or part in self.whole)


def targets_of(adapter: AdapterRecord) -> Targets:
    """What an adapter trains.

    Raises:
        UsageError: a target that does not exist, a part both frozen and trained, or nothing left to train.
    """
    if adapter.mode == "full":
        return _all_but(adapter.freeze)
    targets = Targets(whole=("projector",)) if adapter.mode == "projector" else _named(adapter.targets)
    if torn := [part for part in targets.parts if part in adapter.freeze]:
        trained_by = "--adapter.mode projector" if adapter.mode == "projector" else "--adapter.targets"
        raise UsageError(
            f"--adapter.freeze {' '.join(torn)} contradicts {trained_by}, which trains that",
            f"leave {' and '.join(torn)} out of one of the two",
        )
    return targets


def trains_vision(adapter: AdapterRecord) -> bool:
    """Whether the vision encoder changes in training, so that what it sees must not be kept."""
    return "vision" in targets_of(adapter).parts


def _all_but(frozen: tuple[Part, ...]) -> Targets:
    trained = tuple(part for part in PARTS if part not in frozen)
    if not trained:
        raise UsageError(
            "--adapter.freeze freezes every part of the model: nothing is left to train",
            "leave out one of vision, projector, text",
        )
    return Targets(whole=trained)


def _named(targets: tuple[str, ...]) -> Targets:
    """Layers in the order of the model, whatever the order asked for."""
    asked = {name for target in targets for name in target.split("+") if name}
    if unknown := sorted(asked.difference(_KNOWN)):
        raise UsageError(
            f"there is no {', '.join(unknown)} to adapt", f"choose --adapter.targets from: {' '.join(_KNOWN)}"
        )
    if not asked:
        raise UsageError("--adapter.targets names nothing to train", f"choose from: {' '.join(_KNOWN)}")
    return Targets(
        decoder=tuple(name for name in DECODER_LAYERS if name in asked or _DECODER in asked),
        vision=VISION_LAYERS if _VISION in asked else (),
        whole=("projector",) if _PROJECTOR in asked else (),
    )
