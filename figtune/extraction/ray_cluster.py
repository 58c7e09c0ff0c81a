"""A Ray cluster: reached or started, how much it can take, and what can go wrong with it in plain words."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn

import figtune
from figtune.core.errors import ResourceError

logger = logging.getLogger(__name__)

AGAIN = "run the same command again: the papers that are finished are kept"
_RESTART = f"start the cluster again (without --extract.ray_address Ray does), and {AGAIN}"
_IN_FLIGHT_PER_CPU = 2
_SHARE_OF_STORE = 0.25  # that PDFs on their way may take; results need room too
_LOOK_SECONDS = 5.0  # between two looks at how large the cluster is
_ANSWER_SECONDS = 5.0  # for a cluster to take a connection; Ray itself tries for minutes
_HEAD_SECONDS = 20.0  # that its head may be away, to be started again; after 60 Ray ends this process without a word
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a warning about graphics cards
}


@contextmanager
def ray_session(address: str, workers: int) -> Iterator[None]:
    """Ray at work on the cluster at `address`, with this program's code on its nodes. See `run_on_ray`.

    Raises:
        ResourceError: Ray is not installed, there is no cluster, or it has other versions of Python or Ray.
    """
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    try:
        import ray
    except ImportError:
        raise ResourceError("Ray is not installed", "pip install -r requirements-cluster.txt") from None
    _check_answer(address)
    came: list[int] = []
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        with _package_dir() as folder, _translate_refusals(address):
            ray.init(
                address=address or "local",
                num_cpus=None if address else workers or os.cpu_count(),
                include_dashboard=None if address else False,
                runtime_env={"working_dir": folder},
                logging_level=logging.CRITICAL,
                log_to_driver=False,
            )
        signal.signal(signal.SIGTERM, partial(_on_sigterm, came))
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, on_terminate)
        for number in came:
            signal.raise_signal(number)


def _on_sigterm(came: list[int], number: int, _: FrameType | None) -> NoReturn:
    """End what Ray has started here first, then let the signal do its work."""
    came.append(number)
    sys.exit(128 + number)


@contextmanager
def _package_dir() -> Iterator[str]:
    """Return a folder with this program's package and nothing else, to be sent to the nodes: of all places that they
    import from they look into it first."""
    package = Path(figtune.__file__).parent
    with TemporaryDirectory(prefix="figtune-") as folder:
        shutil.copytree(package, Path(folder, package.name), ignore=shutil.ignore_patterns("__pycache__"))
        yield folder


@contextmanager
def _translate_refusals(address: str) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        raise _unreachable(address, error) from error


def _check_answer(address: str) -> None:
    if address in ("", "auto"):
        return
    try:
        _connect(address)
    except OSError as error:
        raise _unreachable(address, error) from None


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_SECONDS).close()


def _unreachable(address: str, error: Exception) -> ResourceError:
    problem = " ".join(str(error).split())
    if not address:
        return ResourceError(f"Ray cannot be started here: {problem}", "leave out --extract.engine ray")
    if "ersion mismatch" in problem:
        return ResourceError(
            f"the Ray cluster at {address} is not like this machine: {problem}", "install the same versions on both"
        )
    return ResourceError(
        f"no Ray cluster can be used at {address}: {problem}",
        "make this machine a node of one with: ray start --address=HOST:PORT, or leave out --extract.ray_address",
    )


@contextmanager
def translate_ray_errors() -> Iterator[None]:
    """Translate errors of Ray for a cluster that cannot continue into `ResourceError`. Faults of this program stay
    themselves."""
    from ray import exceptions

    try:
        yield
    except exceptions.RayTaskError:
        raise
    except (exceptions.ObjectStoreFullError, exceptions.OutOfDiskError) as error:
        raise ResourceError(
            "the object store of this machine's Ray node is full, and the disk that it spills to",
            f"free some disk space or start Ray with a larger --object-store-memory, and {AGAIN}",
        ) from error
    except (OSError, exceptions.LocalRayletDiedError) as error:
        raise ResourceError(f"the Ray node of this machine is lost: {error}", _RESTART) from error
    except exceptions.RayError as error:
        problem = " ".join(str(error).split())
        raise ResourceError(f"the Ray cluster cannot go on: {problem}", f"see `ray status`, and {AGAIN}") from error


class HeadNodeProbe:
    """The node that knows the others. Ray waits for it in every call that asks it something, and nothing can stop that
    call, so it is looked for before."""

    def __init__(self) -> None:
        import ray

        self._address = ray.get_runtime_context().gcs_address
        self._seen = time.monotonic()

    def is_there(self) -> bool:
        """Return True if it accepts connections.

        Raises:
            ResourceError: it has taken none for too long.
        """
        try:
            _connect(self._address)
        except OSError as error:
            if time.monotonic() - self._seen > _HEAD_SECONDS:
                raise ResourceError(
                    f"the head node of the Ray cluster at {self._address} is lost: {error}", _RESTART
                ) from None
            return False
        self._seen = time.monotonic()
        return True


class BackPressure:
    """Back-pressure: bounds the papers and bytes in flight, so that neither the object store nor the cluster's queue
    grows with the number of papers."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._head = HeadNodeProbe()
        self._looked = -_LOOK_SECONDS
        self._most_papers = 1
        self._most_bytes = 0.0
        self._idle = False

    def admits(self, sizes: Collection[int]) -> bool:
        """Return True if another PDF may be sent while those of `sizes` (bytes) are in flight; one always may."""
        return not sizes or (len(sizes) < self._most_papers and sum(sizes) < self._most_bytes)

    def check_nodes(self) -> None:
        """See now and then which nodes have come and gone.

        Raises:
            ResourceError: see `Head.is_there`.
        """
        import ray

        if time.monotonic() - self._looked < _LOOK_SECONDS or not self._head.is_there():
            return
        nodes = ray.nodes()  # type: ignore[no-untyped-call]
        here = ray.get_runtime_context().get_node_id()
        alive = {node["NodeID"]: node["Resources"] for node in nodes if node["Alive"]}
        cpus = sum(resources.get("CPU", 0.0) for resources in alive.values())
        self._most_papers = self._workers or max(1, int(cpus * _IN_FLIGHT_PER_CPU))
        self._most_bytes = alive.get(here, {}).get("object_store_memory", 0.0) * _SHARE_OF_STORE
        if not cpus and not self._idle:
            logger.warning("the Ray cluster has no CPU now: waiting for a node to join it")
        self._idle = not cpus
        self._looked = time.monotonic()
