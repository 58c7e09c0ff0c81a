"""Settings of generation and of the answers about single files; `config.py` holds their values."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path

from figtune.core.settings import Device, RunSettings, check_pair, check_setting
from figtune.core.web_access import Access
from figtune.dataset.records import Task
from figtune.extraction.settings import ExtractSettings


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Generation of an answer."""

    max_new_tokens: int
    """Maximum length of an answer, in tokens."""
    temperature: float
    """Sampling temperature; 0 decodes greedily."""
    top_p: float
    """Nucleus sampling: tokens are sampled from the most likely ones that have this probability together."""
    seed: int
    """Sampling seed; same seed, same answers."""

    def __post_init__(self) -> None:
        check_setting(self.max_new_tokens >= 1, "test.max_new_tokens", "1 or more")
        check_setting(0 <= self.temperature < inf, "test.temperature", "0 or more")
        check_setting(0 < self.top_p <= 1, "test.top_p", "above 0 and at most 1")
        check_setting(0 <= self.seed < 2**32, "test.seed", "from 0 to 4294967295")


@dataclass(frozen=True, kw_only=True)
class AskSettings(RunSettings):
    """Questions to the trained model instead of its evaluation: about files, or on a page in the browser."""

    test_image: Path | None
    """An image to be answered about, on stdout, instead of the evaluation; or a paper (PDF) with --figure; or a folder
    of images, which gives one JSON line each."""
    figure: str | None
    """Figure of the paper given with --test_image: 3, or "Table 2"."""
    answers: Path | None
    """A file for the lines about a folder, where an interrupted run carries on; left out, they go to stdout."""
    prompt: str | None
    """Question about --test_image; left out, what --task asks, or the prompt of the data set
    that the model was trained on."""
    task: Task
    """Task asked about --test_image where there is no --prompt."""
    serve: bool
    """Open a page to talk to the model in the browser, instead of the evaluation."""
    serve_host: str
    """Address the page is served at: this machine alone, or 0.0.0.0 for everybody who can reach it and has the
    password."""
    serve_port: int
    """Port the page is served at; 0 takes a free one."""
    serve_password: str | None
    """Password of the page. Left out, none is asked on this machine alone, and beyond it one made up for the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, given in {"prompt": self.prompt, "figure": self.figure, "answers": self.answers}.items():
            check_pair(self.test_image is not None or given is None, name, "together with --test_image")
        check_pair(not self.serve or self.test_image is None, "serve", "without --test_image")
        check_setting(bool(self.serve_host.strip()), "serve_host", "an address of this machine")
        check_setting(0 <= self.serve_port <= 65_535, "serve_port", "from 0 to 65535")
        long_enough = self.serve_password is None or len(self.serve_password) >= 8
        check_setting(long_enough, "serve_password", "8 characters or more")

    @property
    def access(self) -> Access:
        """Address and password of the page."""
        return Access(host=self.serve_host, port=self.serve_port, password=self.serve_password)


@dataclass(frozen=True)
class InferenceSettings:
    """Way in which the model is asked."""

    device: Device
    batch_size: int
    """Images of a folder per forward pass."""
    decoding: Decoding
    extract: ExtractSettings
    """Extraction of a paper."""
    strict: bool
    """Fail in the end if an image of a folder could not be read."""
    unquantized: bool = False
    """Load the base model whole, even after QLoRA."""
