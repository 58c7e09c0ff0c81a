"""Prompts about an image or a figure: of a task, of a data set, or in the user's own words."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from figtune.dataset.build_examples import figure_prompt
from figtune.dataset.figure_context import build_context, build_extra_context, first_sentence
from figtune.dataset.records import Task
from figtune.dataset.settings import PrepareSettings
from figtune.dataset.task_prompts import plain_request, task_entry
from figtune.extraction.records import FigureRecord
from figtune.inference.paper_figures import Paper

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PromptSpec:
    """Choice of the prompt to build."""

    task: Task
    custom_prompt: str | None
    """Text in place of the task's request."""
    dataset_prompt: str | None
    """Prompt of every example of a model trained on a data set, without tasks; None for one trained on papers."""
    prepare: PrepareSettings
    """Settings that the training examples were made with: they say what a prompt about a figure tells."""

    def image_prompt(self) -> str:
        """Build the prompt about an image without context."""
        if self.custom_prompt is not None:
            return self.custom_prompt
        return plain_request(self.task) if self.dataset_prompt is None else self.dataset_prompt

    def figure_prompt(self, paper: Paper, figure: FigureRecord) -> str:
        """Build the prompt of a training example; a custom prompt replaces the request after its context."""
        if self.dataset_prompt is not None:
            return self.image_prompt()
        others = (first_sentence(each) for each in paper.figures if each.figure_id != figure.figure_id)
        extra_context = build_extra_context(figure, filter(None, others), self.prepare)
        context = build_context(figure, paper.record, self.prepare.max_context_words, extra_context=extra_context)
        return figure_prompt(context, figure.figure_id, self.task, self.custom_prompt)

    def log_missing_context(self) -> None:
        """Log it if the task was trained with more context in the prompt than an image alone has."""
        entry = task_entry(self.task)
        if self.custom_prompt is None and self.dataset_prompt is None and entry.needs_context:
            logger.warning(
                f"{entry.name} was trained with {entry.prompt_context} in the prompt, which an image alone lacks; "
                "ask about the paper with --test_image PAPER.pdf --figure 3, or write them into --prompt"
            )
