"""Resolve --adapter.targets into layer names and fully trained parts, from the settings alone."""

from __future__ import annotations

from dataclasses import dataclass

from figtune.core.errors import UsageError
from figtune.models.families import FAMILIES
from figtune.models.family import Family
from figtune.models.records import AdapterRecord, Part

PARTS: tuple[Part, ...] = ("vision", "projector", "text")
_DECODER = "decoder"
_PROJECTOR = "projector"
_VISION = "vision"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Parts and layers that are trained. A part is trained through LoRA in its layers, or fully."""

    decoder: tuple[str, ...] = ()
    """Linear layers of the text decoder that get LoRA matrices."""
    vision: tuple[str, ...] = ()
    """Linear layers of the vision encoder that get LoRA matrices."""
    fully_trained_parts: tuple[Part, ...] = ()
    """Parts of which every weight is trained."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Parts in which any weight is trained."""
        by_lora: dict[Part, bool] = {"vision": bool(self.vision), "text": bool(self.decoder), "projector": False}
        return tuple(part for part in PARTS if by_lora[part] or part in self.fully_trained_parts)


def targets_of(adapter: AdapterRecord, family: Family | None = None) -> Targets:
    """Return what an adapter trains.

    Args:
        family: of the model, where that is known; otherwise the layer names of every family count.

    Raises:
        UsageError: a target that does not exist, a part both frozen and trained, or nothing left to train.
    """
    if adapter.mode == "full":
        return _all_but(adapter.freeze)
    whole = Targets(fully_trained_parts=("projector",))
    targets = whole if adapter.mode == "projector" else _named(adapter.targets, family)
    if torn := [part for part in targets.parts if part in adapter.freeze]:
        trained_by = "--adapter.mode projector" if adapter.mode == "projector" else "--adapter.targets"
        raise UsageError(
            f"--adapter.freeze {' '.join(torn)} contradicts {trained_by}, which trains that",
            f"leave {' and '.join(torn)} out of one of the two",
        )
    return targets


def trains_vision(adapter: AdapterRecord) -> bool:
    """Return True where the vision encoder is trained, so that its features must not be cached."""
    return "vision" in targets_of(adapter).parts


def _all_but(frozen: tuple[Part, ...]) -> Targets:
    trained = tuple(part for part in PARTS if part not in frozen)
    if not trained:
        raise UsageError(
            "--adapter.freeze freezes every part of the model: nothing is left to train",
            "leave out one of vision, projector, text",
        )
    return Targets(fully_trained_parts=trained)


def _named(targets: tuple[str, ...], family: Family | None) -> Targets:
    """Return layers in the order of the model, whatever the order asked for."""
    families = FAMILIES if family is None else (family,)
    decoder_layers = tuple(dict.fromkeys(name for each in families for name in each.parts.decoder_layers.names))
    vision_layers = tuple(dict.fromkeys(name for each in families for name in each.parts.vision_layers.names))
    known = (_DECODER, _PROJECTOR, _VISION, *decoder_layers)
    asked = {name for target in targets for name in target.split("+") if name}
    if unknown := sorted(asked.difference(known)):
        raise UsageError(
            f"there is no {', '.join(unknown)} to adapt", f"choose --adapter.targets from: {' '.join(known)}"
        )
    if not asked:
        raise UsageError("--adapter.targets names nothing to train", f"choose from: {' '.join(known)}")
    return Targets(
        decoder=tuple(name for name in decoder_layers if name in asked or _DECODER in asked),
        vision=vision_layers if _VISION in asked else (),
        fully_trained_parts=("projector",) if _PROJECTOR in asked else (),
    )
