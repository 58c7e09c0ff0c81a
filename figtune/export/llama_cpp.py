"""Programs of a llama.cpp folder: its converter, its quantizer and its server, run on this machine's CPU."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from figtune.core.cli import ended_by_signals
from figtune.core.errors import ResourceError, UsageError
from figtune.models.families import family_of
from figtune.models.records import ModelRecord, Quantization

BY_CONVERTER: tuple[Quantization, ...] = ("f32", "f16", "bf16", "q8_0")
"""Quantizations that the converter writes; the others are the quantizer's."""
REQUIREMENTS = "requirements-gguf.txt"

_CONVERTER = "convert_hf_to_gguf.py"
_QUANTIZER = "llama-quantize"
_SERVER = "llama-server"
_BUILD_FOLDERS = ("build/bin", "bin", ".")
_LOADING_SECONDS = 600.0
_POLL_SECONDS = 0.1
_LAST_LINES = 3


@dataclass(frozen=True, kw_only=True)
class LlamaCpp:
    """Programs that were found."""

    converter: Path
    quantizer: Path | None
    server: Path | None

    def convert(self, model: Path, file: Path, kind: str, *options: str) -> None:
        """Write a GGUF file of a folder in the Hub's layout.

        Raises:
            ResourceError: the converter fails.
        """
        command = (sys.executable, str(self.converter), str(model), "--outfile", str(file), "--outtype", kind, *options)
        _run(command, "llama.cpp's converter")

    def quantize(self, source: Path, file: Path, quantization: Quantization) -> None:
        """Write a GGUF file of fewer bits.

        Raises:
            ResourceError: the quantizer fails.
        """
        _run((str(self.quantizer), str(source), str(file), quantization.upper()), "llama.cpp's quantizer")


def find_llama_cpp(folder: Path, quantization: Quantization) -> LlamaCpp:
    """Find the programs in a folder of llama.cpp, those that are built in its build/bin or on the PATH.

    Raises:
        UsageError: the folder has no converter, or nothing writes this quantization.
    """
    converter = folder.expanduser() / _CONVERTER
    if not converter.is_file():
        raise UsageError(
            f"{folder} has no {_CONVERTER}",
            "give a folder of llama.cpp with --gguf: a clone of its repository, or vendor/llama.cpp of the source "
            "distribution of llama-cpp-python",
        )
    found = LlamaCpp(
        converter=converter.resolve(), quantizer=_program(folder, _QUANTIZER), server=_program(folder, _SERVER)
    )
    if quantization not in BY_CONVERTER and found.quantizer is None:
        raise UsageError(
            f"{quantization} needs {_QUANTIZER}, which is neither in {folder} nor on the PATH",
            f"build llama.cpp there, or give --gguf_quantization {' or '.join(BY_CONVERTER)}",
        )
    return found


def check_convertible(record: ModelRecord) -> None:
    """Refuse a model that llama.cpp does not read, or not as it was trained.

    Raises:
        UsageError: so it is.
    """
    family, remedy = family_of(record.family, record.name), "leave out --gguf, and serve OUTPUT/merged with vLLM"
    if not family.converts_to_gguf:
        raise UsageError(
            f"{family.display_name} cannot become GGUF here: llama.cpp does not have it, or was not tried with it",
            remedy,
        )
    if record.tiles:
        raise UsageError("a model trained with --model.tiles cannot become GGUF: llama.cpp cuts no tiles", remedy)


@contextmanager
def running_server(server: Path, text: Path, projector: Path, context: int) -> Iterator[str]:
    """Yield the address of a llama.cpp server of two GGUF files, on the CPU and for this machine alone.

    Args:
        context: tokens of prompt and answer together.

    Raises:
        ResourceError: it ends, or does not load the files in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (
        *(str(server), "--model", str(text), "--mmproj", str(projector), "--host", "127.0.0.1", "--port", str(port)),
        *("--ctx-size", str(context), "--parallel", "1", "--gpu-layers", "0", "--no-mmproj-offload", "--jinja"),
    )
    with ended_by_signals(), TemporaryDirectory() as folder, (Path(folder) / "log").open("w+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_until_loaded(process, port, Path(folder) / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _wait_until_loaded(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _LOADING_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == httpx2.codes.OK:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(_POLL_SECONDS)
    raise ResourceError(
        f"llama.cpp's server does not load the GGUF files: {_last_lines(log.read_text(errors='replace'))}",
        "use a llama.cpp of one version for converter and server",
    )


def _program(folder: Path, name: str) -> Path | None:
    places = [folder.expanduser() / place / name for place in _BUILD_FOLDERS]
    built = next((place.resolve() for place in places if place.is_file() and os.access(place, os.X_OK)), None)
    on_path = shutil.which(name)
    return built or (Path(on_path) if on_path else None)


def _run(command: Sequence[str], name: str) -> None:
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=offline,
        )
    except OSError as failure:
        raise ResourceError(f"{name} cannot be run: {failure.strerror}", "build it for this machine") from None
    if ran.returncode == 0:
        return
    if "ModuleNotFoundError" in ran.stderr:
        raise ResourceError(
            f"{name} lacks a package: {_last_lines(ran.stderr, 1)}", f"install it: pip install -r {REQUIREMENTS}"
        )
    raise ResourceError(
        f"{name} failed: {_last_lines(ran.stderr or ran.stdout)}",
        "try a newer llama.cpp, or serve OUTPUT/merged with vLLM",
    )


def _last_lines(text: str, lines: int = _LAST_LINES) -> str:
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:]) or "it said nothing"
