"""What is trained and what is frozen, counted by part of the model."""

from __future__ import annotations

from peft import PeftModel

from figtune.models.family import PROJECTOR
from figtune.models.records import ParameterTable, PartCount

_PARTS = ("vision encoder", "projector", "text decoder", "LoRA in the text decoder")


def parameter_table(tuned: PeftModel) -> ParameterTable:
    """Numbers in each part. A projector that is trained stands for the frozen one that it replaces."""
    trained = dict.fromkeys(_PARTS, 0)
    frozen = dict.fromkeys(_PARTS, 0)
    for name, parameter in tuned.named_parameters():
        if ".original_module." in name:
            continue
        counts = trained if parameter.requires_grad else frozen
        counts[_part(name)] += parameter.numel()
    parts = tuple(PartCount(part=part, trained=trained[part], frozen=frozen[part]) for part in _PARTS)
    count = sum(trained.values())
    return ParameterTable(parts=parts, trained=count, total=count + sum(frozen.values()))


def table_lines(table: ParameterTable) -> list[str]:
    """The table for people, a line each."""
    lines = [f"{'part':26}{'trained':>16}{'frozen':>18}"]
    lines += [f"{part.part:26}{part.trained:>16,}{part.frozen:>18,}" for part in table.parts]
    share = table.trained / table.total
    lines.append(f"{'together':26}{table.trained:>16,}{table.total - table.trained:>18,}  ({share:.2%} is trained)")
    return lines


def _part(name: str) -> str:
    if "lora_" in name:
        return "LoRA in the text decoder"
    if "vision_tower" in name:
        return "vision encoder"
    return "projector" if PROJECTOR in name else "text decoder"
