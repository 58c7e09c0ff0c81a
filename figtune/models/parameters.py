"""What is trained and what is frozen, counted by part of the model."""

from __future__ import annotations

from peft import PeftModel

from figtune.models.records import ParameterTable, Part, PartCount
from figtune.models.whole import part_of

_TITLES: dict[Part, str] = {"vision": "vision encoder", "projector": "projector", "text": "text decoder"}
_ROWS = (*_TITLES.values(), "LoRA in the vision encoder", "LoRA in the text decoder")


def parameter_table(tuned: PeftModel) -> ParameterTable:
    """Numbers in each part. A projector that is trained stands for the frozen one that it replaces."""
    trained = dict.fromkeys(_ROWS, 0)
    frozen = dict.fromkeys(_ROWS, 0)
    for name, parameter in tuned.named_parameters():
        if ".original_module." in name:
            continue
        counts = trained if parameter.requires_grad else frozen
        counts[_row(name)] += parameter.numel()
    parts = tuple(
        PartCount(part=row, trained=trained[row], frozen=frozen[row]) for row in _ROWS if trained[row] or frozen[row]
    )
    count = sum(trained.values())
    return ParameterTable(parts=parts, trained=count, total=count + sum(frozen.values()))


def table_lines(table: ParameterTable) -> list[str]:
    """The table for people, a line each."""
    lines = [f"{'part':28}{'trained':>16}{'frozen':>18}"]
    lines += [f"{part.part:28}{part.trained:>16,}{part.frozen:>18,}" for part in table.parts]
    share = table.trained / table.total
    lines.append(f"{'together':28}{table.trained:>16,}{table.total - table.trained:>18,}  ({share:.2%} is trained)")
    return lines


def _row(name: str) -> str:
    title = _TITLES[part_of(name)]
    return f"LoRA in the {title}" if "lora_" in name else title
