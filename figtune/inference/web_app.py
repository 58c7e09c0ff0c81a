"""Gradio app: upload an image or a paper, ask about it, read the answers of both models side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import get_args

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from figtune.core.errors import FigtuneError
from figtune.core.image_formats import IMAGE_SUFFIXES
from figtune.dataset.records import Task
from figtune.inference.generate import Question
from figtune.inference.paper_figures import PromptSpec, list_figures
from figtune.inference.settings import InferenceSettings
from figtune.inference.streaming import stream_answers
from figtune.inference.uploads import UploadedItem, UploadReader
from figtune.models.loading import LoadedModel

TITLE = "figtune"
TASKS: tuple[Task, ...] = get_args(Task)
STYLE = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; }
#heading h1 { font-size: 1.6rem; font-weight: 600; margin: 0; } #heading p { margin: .1rem 0 0; opacity: .75; }
#status { min-height: 1.6em; }
"""
_SUFFIXES = [".pdf", *IMAGE_SUFFIXES]
_KEPT_SECONDS = 3600
"""Lifetime of an unused session's state, in seconds."""
_PICTURE = "Picture"
_WELCOME = "Drop an image or a paper to begin."
_PROMPT = "prompt"
"""Concurrency id: prompts are built in the order of the clicks, so that the last choice wins."""
_GONE = "This upload is no longer here: drop it again."
_NOT_YET = "() => ({__type__: 'update', interactive: false})"
"""Disable a button in the browser at once, until the server knows the choice."""


@dataclass(frozen=True, kw_only=True)
class AppState:
    """The loaded model, its settings and the uploads."""

    loaded: LoadedModel
    settings: InferenceSettings
    spec: PromptSpec
    """Initial prompt."""
    uploads: UploadReader


def build_app(state: AppState) -> gr.Blocks:
    """Build the page. One answer is generated at a time; others wait in a queue."""
    page = gr.Blocks(title=TITLE, analytics_enabled=False)
    with page:
        _App(state).build()
    page.queue(api_open=False, max_size=32, default_concurrency_limit=1)
    return page


class _App:
    """Components and event handlers of the page."""

    def __init__(self, state: AppState) -> None:
        self._state = state

    def build(self) -> None:
        """Lay out the components, then connect their events."""
        record = self._state.loaded.record
        gr.HTML(
            f"<h1>{TITLE}</h1><p>{escape(record.title)}, fine-tuned, beside its base model</p>",
            elem_id="heading",
        )
        self.opened = gr.State("", time_to_live=_KEPT_SECONDS)
        self.chosen = gr.State(0)
        with gr.Row():
            with gr.Column(scale=5):
                self._build_question()
            with gr.Column(scale=7):
                self._build_answers()
        self._connect()

    def _build_question(self) -> None:
        self.upload = gr.File(
            label="An image or a paper (PDF)", file_types=_SUFFIXES, height=170, elem_id="upload", buttons=[]
        )
        self.gallery = gr.Gallery(
            label="Click the figure to ask about",
            columns=3,
            height=320,
            object_fit="contain",
            format="png",
            allow_preview=False,
            interactive=False,
            buttons=[],
            visible=False,
            elem_id="figures",
        )
        self.task = gr.Radio(list(TASKS), value=self._state.spec.task, label="Task", elem_id="task")
        self.prompt = gr.Textbox(
            label="Prompt", info="As the task asks it; change it as you like.", lines=4, max_lines=12, elem_id="prompt"
        )
        with gr.Row():
            self.ask = gr.Button("Ask", variant="primary", interactive=False, elem_id="ask")
            self.stop = gr.Button("Stop", interactive=False, elem_id="stop")

    def _build_answers(self) -> None:
        self.status = gr.HTML(_WELCOME, elem_id="status")
        self.picture = gr.Image(
            label=_PICTURE, height=300, format="png", interactive=False, buttons=[], elem_id="picture"
        )
        with gr.Row(equal_height=True):
            self.tuned, self.base = (
                gr.Textbox(label=label, lines=10, max_lines=24, interactive=False, buttons=["copy"], elem_id=elem_id)
                for label, elem_id in (("Fine-tuned", "tuned"), ("Base model", "base"))
            )

    def _connect(self) -> None:
        opened = [self.opened, self.chosen, self.gallery, self.status]
        shown = [self.picture, self.ask, self.stop, self.tuned, self.base]
        about = [self.opened, self.chosen, self.task]
        inputs, outputs = [self.opened, self.chosen, self.prompt], [self.tuned, self.base, self.status, self.stop]
        answering = _connect_event(self.ask.click, self._answer, inputs, outputs)
        stopped = [self.status, self.stop]
        _connect_event(
            self.stop.click, lambda: ("Stopped.", gr.Button(interactive=False)), None, stopped, cancels=answering
        )
        for choice in (self.upload.upload, self.upload.clear, self.gallery.select):
            # An answer that went on would be written beside another picture.
            choice(None, None, self.ask, js=_NOT_YET, cancels=answering, api_visibility="private")
        for changed in (
            _connect_event(self.upload.upload, self._open, self.upload, opened, at_a_time=None),
            _connect_event(self.upload.clear, self._close, None, opened),
            _connect_event(self.gallery.select, self._choose, self.opened, [self.chosen, self.status]),
        ):
            prompted = _connect_event(changed.then, self._prompt, about, self.prompt, turns=_PROMPT)
            _connect_event(prompted.then, self._show, [self.opened, self.chosen], shown)
        _connect_event(self.task.change, self._prompt, about, self.prompt, turns=_PROMPT)

    async def _open(self, upload: str | None) -> tuple[str, int, gr.Gallery, str]:
        if upload is None:
            return self._close()
        hidden = gr.Gallery(value=None, visible=False)
        try:
            opened = await self._state.uploads.open(Path(upload))
        except FigtuneError as error:
            return "", 0, hidden, _error_html(error)
        items = self._state.uploads.items(opened)
        if not items:
            return "", 0, hidden, _opened_text(items)
        is_paper = items[0].paper is not None
        figures = [(item.file, item.label) for item in items] if is_paper else None
        return opened, 0, gr.Gallery(value=figures, visible=is_paper, selected_index=0), _opened_text(items)

    def _close(self) -> tuple[str, int, gr.Gallery, str]:
        return "", 0, gr.Gallery(value=None, visible=False), _WELCOME

    def _choose(self, opened: str, event: gr.SelectData) -> tuple[int, str]:
        return (event.index if isinstance(event.index, int) else 0), _opened_text(self._state.uploads.items(opened))

    def _item(self, opened: str, chosen: int) -> UploadedItem | None:
        items = self._state.uploads.items(opened)
        return items[chosen] if 0 <= chosen < len(items) else None

    def _show(self, opened: str, chosen: int) -> tuple[gr.Image, gr.Button, gr.Button, str, str]:
        item = self._item(opened, chosen)
        picture = gr.Image(None, label=_PICTURE) if item is None else gr.Image(str(item.file), label=item.label)
        return picture, gr.Button(interactive=item is not None), gr.Button(interactive=False), "", ""

    def _prompt(self, opened: str, chosen: int, task: Task) -> str:
        item = self._item(opened, chosen)
        return "" if item is None else item.prompt(replace(self._state.spec, task=task))

    def _answer(self, opened: str, chosen: int, prompt: str) -> Iterator[tuple[str, str, str, gr.Button]]:
        idle = gr.Button(interactive=False)
        item = self._item(opened, chosen)
        if item is None:
            yield "", "", _GONE if opened else _WELCOME, idle
            return
        yield "", "", "Encoding the image …", gr.Button(interactive=True)
        try:
            question = Question(image=item.image(), prompt=prompt)
            with closing(stream_answers(self._state.loaded, question, self._state.settings.decoding)) as answers:
                for pair in answers:
                    status = "Done." if pair.finished else "Answering …"
                    yield pair.tuned, pair.base, status, gr.Button(interactive=not pair.finished)
        except FigtuneError as error:
            yield "", "", _error_html(error), idle


def _connect_event(
    event: Callable[..., Dependency],
    function: Callable[..., object],
    inputs: Component | Sequence[Component] | None,
    outputs: Component | Sequence[Component],
    cancels: Dependency | None = None,
    turns: str | None = None,
    at_a_time: int | None = 1,
) -> Dependency:
    """Connect a private function to an event.

    Args:
        turns: concurrency id; functions with the same one run one after the other.
        at_a_time: maximum number of concurrent calls; None for any.
    """
    return event(
        function,
        inputs,
        outputs,
        cancels=cancels,
        concurrency_id=turns,
        concurrency_limit=at_a_time,
        api_visibility="private",
    )


def _opened_text(items: Sequence[UploadedItem]) -> str:
    if not items:
        return _GONE
    figures = [item.figure for item in items if item.figure is not None]
    return escape(f"The paper has {list_figures(figures)}." if figures else f"{items[0].label} is open.")


def _error_html(error: FigtuneError) -> str:
    """Return the problem as HTML; the remedy is for a terminal."""
    return f"<strong>{escape(error.problem)}</strong>"
