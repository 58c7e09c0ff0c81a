"""Facts of `benchmarks.card` about a device: its name, its memory, how fast it multiplies and copies, and libraries."""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import psutil
import torch

from benchmarks.card_results import DeviceFacts
from benchmarks.training import PEAK_TFLOPS
from figtune.training.memory_check import free_memory

LIBRARIES = (*("torch", "transformers", "peft", "accelerate", "bitsandbytes", "liger_kernel", "flash_attn"), "triton")
TURNS = 10


def wall_clock(device: torch.device) -> float:
    """Return seconds of wall-clock time, the device's work done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def device_name(device: torch.device) -> str:
    """Return the name by which results of one device are told from those of another."""
    if device.type == "cuda":
        capability = "compute capability {}.{}".format(*torch.cuda.get_device_capability(device))
        return f"{torch.cuda.get_device_name(device)} ({capability}, CUDA {torch.version.cuda})"
    return f"CPU {platform.machine()}, {torch.get_num_threads()} threads"


def device_facts(device: torch.device, side: int) -> DeviceFacts:
    """Return what the device is, and how fast it multiplies and copies.

    Args:
        side: of the matrices that are multiplied.
    """
    name = device_name(device)
    if device.type == "cuda":
        free, memory = torch.cuda.mem_get_info(device)
        dtype, driver = torch.bfloat16, _driver()
    else:
        free, memory = free_memory(), psutil.virtual_memory().total
        dtype, driver = torch.float32, ""
    peak = next((float(tflops) for part, tflops in PEAK_TFLOPS.items() if part in name), None)
    return DeviceFacts(
        name=name,
        memory=memory,
        free=free,
        driver=driver,
        versions={"Python": platform.python_version(), **{name: _version(name) for name in LIBRARIES}},
        dtype=str(dtype).removeprefix("torch."),
        matmul_tflops=_matmul_tflops(device, dtype, side),
        copy_gb=_copy_gb(device, side),
        peak_tflops=peak if device.type == "cuda" else None,
    )


def _matmul_tflops(device: torch.device, dtype: torch.dtype, side: int) -> float:
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / _best(lambda: torch.matmul(left, right), device) / 1e12


def _copy_gb(device: torch.device, side: int) -> float:
    source = torch.ones(4 * side * side, device=device, dtype=torch.float32)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _best(lambda: target.copy_(source), device) / 1e9


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Return the least seconds of several turns."""
    seconds = []
    for _ in range(TURNS):
        start = wall_clock(device)
        work()
        seconds.append(wall_clock(device) - start)
    return min(seconds)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _driver() -> str:
    command = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.splitlines()[0].strip() if done.stdout else ""
