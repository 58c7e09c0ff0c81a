"""What the model is asked, and how."""

from __future__ import annotations

from dataclasses import dataclass

from figtune.answers.decoding import Decoding
from figtune.core.log import log
from figtune.dataset.records import Task
from figtune.dataset.tasks import plain_request, task_entry
from figtune.extraction.records import FigureRecord
from figtune.talk.paper import Paper, Reading


@dataclass(frozen=True)
class Terms:
    """How the model is asked."""

    device: str
    """ "auto", "cpu" or "cuda"."""
    batch_size: int
    """Images of a folder per forward pass."""
    decoding: Decoding
    reading: Reading
    strict: bool
    """Whether an image of a folder that cannot be read is an error in the end."""


@dataclass(frozen=True)
class Request:
    """What a user wants to know."""

    task: Task
    custom_prompt: str | None
    """In place of what the task asks."""
    usual: str | None
    """What every example asked, where the model was trained on a data set rather than on papers; it knows no tasks."""

    def of_image(self) -> str:
        """The prompt about an image that nothing else is known of."""
        if self.custom_prompt is not None:
            return self.custom_prompt
        return plain_request(self.task) if self.usual is None else self.usual

    def of_figure(self, paper: Paper, figure: FigureRecord) -> str:
        """The prompt about a figure of a paper, as training builds it."""
        if self.usual is not None:
            return self.of_image()
        return paper.prompt(figure, self.task, self.custom_prompt)

    def tell_of_missing_context(self) -> None:
        """Say so where the model has learned the task with more in the prompt than an image alone gives."""
        entry = task_entry(self.task)
        if self.custom_prompt is None and self.usual is None and entry.needs_context:
            log(
                f"{entry.name} was trained with {entry.prompt_tells} in the prompt, which an image alone lacks; "
                "for them ask about the paper, --test_image PAPER.pdf --figure 3, or write them into --prompt"
            )
