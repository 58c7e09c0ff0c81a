"""How long an answer will take, told from its first tokens where that is long enough to matter."""

from __future__ import annotations

import time
from collections.abc import Callable

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from figtune.core.log import log

_TOKENS_TIMED = 3
_SECONDS_WORTH_SAYING = 10.0


class Forecast(BaseStreamer):
    """Watches `generate`: it gets the prompt first, then every token.

    The first token is left out of the measure, since it takes the whole prompt with it.
    """

    def __init__(self, longest: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._clock = clock
        self._puts = 0
        self._first_token = 0.0

    def put(self, value: Tensor) -> None:  # noqa: ARG002 - the interface gives the tokens; their number is enough
        """Another token of every answer."""
        self._puts += 1
        if self._puts == 2:
            self._first_token = self._clock()
        if self._puts == 2 + _TOKENS_TIMED:
            self._tell((self._clock() - self._first_token) / _TOKENS_TIMED)

    def end(self) -> None:
        """Nothing is left to be told."""

    def _tell(self, pace: float) -> None:
        seconds = pace * (self._longest - 1 - _TOKENS_TIMED)
        if seconds >= _SECONDS_WORTH_SAYING:
            log(
                f"no graphics card: {pace:.1f} s a token, so up to {spelled(seconds)} more for {self._longest} tokens; "
                "most answers end sooner"
            )


def spelled(seconds: float) -> str:
    """ "40 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
