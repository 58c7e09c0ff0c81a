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

from figtune.figures.assembly import failed_paper
from figtune.figures.attempts import Attempt, Extractor, OutputError
from figtune.figures.commits import PICTURE_FOLDERS, PaperJob, PaperResult
from figtune.figures.ray_cluster import AGAIN, Room, connected, troubles_explained
from figtune.figures.ray_node import Delivery, Mismatch, Order, read_on_node, software
from figtune.figures.records import TEXTS_FOLDER
from figtune.figures.sources import unreadable
from figtune.pipeline.errors import ResourceError
from figtune.pipeline.files import replacing_folder, write_bytes
from figtune.pipeline.workers import Done, Failure, Limits

if TYPE_CHECKING:
    from ray import ObjectRef

_RETRIES = 8  # of a paper whose node or process is lost, before the cluster is held to be broken
_WAIT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """A paper on its way."""

    job: PaperJob
    size: int
    """Of the PDF, in bytes."""


def run_on_ray(
    extract: Extractor, jobs: Sequence[PaperJob], limits: Limits, *, address: str, workers: int
) -> Generator[Attempt]:
    """The engine of a cluster.

    Args:
        address: HOST:PORT of a cluster that this machine is a node of, or "auto" to find it; empty to start one here.
        workers: papers to be read at once; 0 for as many as there are CPUs.

    Raises:
        ResourceError: Ray is not installed, there is no cluster at the address, a node has other software than this
            machine, the object store or a node's disk is full, the head node is lost or the one of this machine, or the
            cluster loses one paper again and again.
    """
    with connected(address, workers):
        import ray

        read = ray.remote(num_cpus=1, max_retries=_RETRIES)(read_on_node)
        wanted, room, waiting = software(), Room(workers), deque(jobs)
        under_way: dict[ObjectRef[Delivery | Mismatch], _Sent] = {}
        while waiting or under_way:
            room.look()
            while waiting and room.is_left([sent.size for sent in under_way.values()]):
                job = waiting.popleft()
                try:
                    pdf = job.source.path.read_bytes()
                except OSError as error:
                    yield Done(task=job, outcome=_failed(job, unreadable(error)))
                    continue
                order = pickle.dumps(Order(extract=extract, job=job, limits=limits))
                with troubles_explained():
                    under_way[read.remote(wanted, order, pdf)] = _Sent(job=job, size=len(pdf))
            yield from _arrivals(under_way, wanted)


def _arrivals(under_way: dict[ObjectRef[Delivery | Mismatch], _Sent], wanted: Mapping[str, str]) -> Iterator[Attempt]:
    """What has come back, taken off `under_way`; nothing after a while without."""
    import ray

    if not under_way:
        return
    with troubles_explained():
        arrived, _ = ray.wait(list(under_way), num_returns=1, timeout=_WAIT_SECONDS)
    for ref in arrived:
        job = under_way.pop(ref).job
        with troubles_explained():
            delivery = ray.get(ref)
        if isinstance(delivery, Mismatch):
            raise _other_software(delivery, wanted)
        yield Done(task=job, outcome=_unpacked(job, delivery))


def _unpacked(job: PaperJob, delivery: Delivery) -> PaperResult | Failure:
    """The outcome of a paper, its files in the content folder."""
    if isinstance(delivery.outcome, OutputError):
        raise _node_trouble(delivery.host, delivery.outcome)
    paper_id = job.source.paper_id
    for folder in PICTURE_FOLDERS if delivery.files else ():
        with replacing_folder(job.content_dir / folder / paper_id) as made:
            for path, data in delivery.files.items():
                if PurePath(path).parent == PurePath(folder, paper_id):
                    (made / PurePath(path).name).write_bytes(data)
    text = PurePath(TEXTS_FOLDER, f"{paper_id}.json").as_posix()
    if text in delivery.files:
        write_bytes(job.content_dir / text, delivery.files[text])
    return delivery.outcome


def _failed(job: PaperJob, reason: str) -> PaperResult:
    return PaperResult(paper=failed_paper(job.source, reason), figures=())


def _node_trouble(host: str, error: OutputError) -> ResourceError:
    if error.number in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"the disk of the Ray node {host} is full", f"free some space there, and {AGAIN}")
    if error.number == errno.EAGAIN:
        return ResourceError(f"the Ray node {host} has no room: {error.text}", f"free memory there, and {AGAIN}")
    where = f": {error.filename}" if error.filename else ""
    return ResourceError(f"the Ray node {host} cannot write{where} ({error.text.lower()})", f"see to it, and {AGAIN}")


def _other_software(node: Mismatch, wanted: Mapping[str, str]) -> ResourceError:
    other = [name for name, version in wanted.items() if node.software.get(name) != version]
    theirs = ", ".join(f"{name} {node.software.get(name)}" for name in other)
    ours = ", ".join(f"{name} {wanted[name]}" for name in other)
    return ResourceError(
        f"the Ray node {node.host} has {theirs}, and this machine {ours}",
        f"install the same on both, as requirements.txt has it, and {AGAIN}",
    )
