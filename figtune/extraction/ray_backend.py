"""Extraction on a Ray cluster: PDFs go out as bytes, finished papers come back as bytes, this process writes them.

Nodes share no file system with this machine. A paper that a lost node was reading is read on another one; what a paper
does to the process that reads it costs that paper only, as on one machine.

https://docs.ray.io/en/latest/ray-core/fault-tolerance.html
"""

from __future__ import annotations

import errno
import pickle
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from figtune.core.errors import ResourceError
from figtune.core.io import atomic_write_dir, write_bytes
from figtune.core.worker_pool import TaskFailure, TaskLimits, TaskResult
from figtune.extraction.merge_results import failed_paper
from figtune.extraction.paper_cache import IMAGE_FOLDERS, ExtractionTask, PaperResult
from figtune.extraction.pdf_files import unreadable
from figtune.extraction.ray_cluster import AGAIN, BackPressure, ray_session, translate_ray_errors
from figtune.extraction.ray_worker import RemoteResult, RemoteTask, VersionMismatch, read_on_node, software
from figtune.extraction.records import TEXTS_FOLDER
from figtune.extraction.worker import Extractor, WorkerResult, WriteFailure

if TYPE_CHECKING:
    from ray import ObjectRef

_RETRIES = 8  # of a paper whose node or process is lost, before the cluster is held to be broken
_WAIT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class _InFlight:
    """A paper on its way."""

    task: ExtractionTask
    size: int
    """Size of the PDF in bytes."""


def run_on_ray(
    extract: Extractor, tasks: Sequence[ExtractionTask], limits: TaskLimits, *, address: str, workers: int
) -> Generator[WorkerResult]:
    """Read papers on a cluster.

    Args:
        address: HOST:PORT of a cluster that this machine is a node of, or "auto" to find it; empty to start one here.
        workers: papers to be read at once; 0 for as many as there are CPUs.

    Raises:
        ResourceError: Ray is not installed, there is no cluster at the address, a node has other software than this
            machine, the object store or a node's disk is full, the head node is lost or the one of this machine, or the
            cluster loses one paper again and again.
    """
    with ray_session(address, workers):
        import ray

        read = ray.remote(num_cpus=1, max_retries=_RETRIES)(read_on_node)
        wanted, room, waiting = software(), BackPressure(workers), deque(tasks)
        under_way: dict[ObjectRef[RemoteResult | VersionMismatch], _InFlight] = {}
        while waiting or under_way:
            room.check_nodes()
            while waiting and room.admits([sent.size for sent in under_way.values()]):
                task = waiting.popleft()
                try:
                    pdf = task.source.path.read_bytes()
                except OSError as error:
                    yield TaskResult(task=task, outcome=_failed(task, unreadable(error)))
                    continue
                order = pickle.dumps(RemoteTask(extract=extract, task=task, limits=limits))
                with translate_ray_errors():
                    under_way[read.remote(wanted, order, pdf)] = _InFlight(task=task, size=len(pdf))
            yield from _arrivals(under_way, wanted)


def _arrivals(
    under_way: dict[ObjectRef[RemoteResult | VersionMismatch], _InFlight], wanted: Mapping[str, str]
) -> Iterator[WorkerResult]:
    """Return the finished papers, taken off `under_way`; nothing after a timeout."""
    import ray

    if not under_way:
        return
    with translate_ray_errors():
        arrived, _ = ray.wait(list(under_way), num_returns=1, timeout=_WAIT_SECONDS)
    for ref in arrived:
        task = under_way.pop(ref).task
        with translate_ray_errors():
            delivery = ray.get(ref)
        if isinstance(delivery, VersionMismatch):
            raise _other_software(delivery, wanted)
        yield TaskResult(task=task, outcome=_unpacked(task, delivery))


def _unpacked(task: ExtractionTask, delivery: RemoteResult) -> PaperResult | TaskFailure:
    """Return the outcome of a paper, its files in the content folder."""
    if isinstance(delivery.outcome, WriteFailure):
        raise _node_error(delivery.host, delivery.outcome)
    paper_id = task.source.paper_id
    for folder in IMAGE_FOLDERS if delivery.files else ():
        with atomic_write_dir(task.content_dir / folder / paper_id) as made:
            for path, data in delivery.files.items():
                if PurePath(path).parent == PurePath(folder, paper_id):
                    (made / PurePath(path).name).write_bytes(data)
    text = PurePath(TEXTS_FOLDER, f"{paper_id}.json").as_posix()
    if text in delivery.files:
        write_bytes(task.content_dir / text, delivery.files[text])
    return delivery.outcome


def _failed(task: ExtractionTask, reason: str) -> PaperResult:
    return PaperResult(paper=failed_paper(task.source, reason), figures=())


def _node_error(host: str, error: WriteFailure) -> ResourceError:
    if error.number in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"the disk of the Ray node {host} is full", f"free some space there, and {AGAIN}")
    if error.number == errno.EAGAIN:
        return ResourceError(f"the Ray node {host} has no room: {error.text}", f"free memory there, and {AGAIN}")
    where = f": {error.filename}" if error.filename else ""
    return ResourceError(f"the Ray node {host} cannot write{where} ({error.text.lower()})", f"see to it, and {AGAIN}")


def _other_software(node: VersionMismatch, wanted: Mapping[str, str]) -> ResourceError:
    other = [name for name, version in wanted.items() if node.software.get(name) != version]
    theirs = ", ".join(f"{name} {node.software.get(name)}" for name in other)
    ours = ", ".join(f"{name} {wanted[name]}" for name in other)
    return ResourceError(
        f"the Ray node {node.host} has {theirs}, and this machine {ours}",
        f"install the same on both, as requirements.txt has it, and {AGAIN}",
    )
