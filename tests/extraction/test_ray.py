"""Extraction on a real Ray cluster of several nodes on this machine: the bytes of one machine, whatever is lost."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from config import EXTRACT
from figtune.core.cli import run_cli
from figtune.core.errors import ExitCode, ResourceError
from figtune.core.io import TEMPORARY_PREFIX
from figtune.core.jsonl import read_json
from figtune.extraction.extract_folder import extract_folder
from figtune.extraction.extract_paper import extract_paper
from figtune.extraction.paper_cache import CACHE_FOLDER, CacheEntry, ExtractionTask, PaperResult
from figtune.extraction.pdf_files import find_pdfs
from figtune.extraction.ray_backend import run_on_ray
from figtune.extraction.ray_worker import software
from figtune.extraction.records import TEXTS_FOLDER
from figtune.extraction.worker import Engine, run_locally
from tests.conftest import run_script
from tests.extraction.extractors import extract_by_name, extract_on_call
from tests.extraction.test_extract_folder import tree

pytestmark = pytest.mark.slow

ray = pytest.importorskip("ray")

if TYPE_CHECKING:
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "samples"
STORE = 100 << 20  # bytes
HERE = partial(run_locally, workers=2)


def run(
    pdf_dir: Path,
    content_dir: Path,
    extract: Callable[[ExtractionTask], PaperResult],
    engine: Engine,
    *,
    timeout_s: float = 300,
) -> None:
    """Extraction with settings that are the same for all tests."""
    extract_folder(
        pdf_dir,
        content_dir,
        replace(EXTRACT, dpi=60, longest_side=300, timeout_seconds=timeout_s, memory_mb=300),
        redo=False,
        extract=extract,
        engine=engine,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that all tests share."""
    with cluster_of_one() as made:
        yield made


@contextmanager
def cluster_of_one() -> Iterator[Cluster]:
    """A head that reads no papers itself, and a node that reads one at a time."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_enable_worker_prestart", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
        with node(made):
            yield made
        made.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def node(cluster: Cluster, *first: Path) -> Iterator[Node]:
    """A node of one CPU, whose Python looks into some folders first."""
    path = os.pathsep.join(map(str, (*first, ROOT)))
    made = cluster.add_node(num_cpus=1, object_store_memory=STORE, env_vars={"PYTHONPATH": path})
    try:
        yield made
    finally:
        if made in cluster.worker_nodes:
            cluster.remove_node(made, allow_graceful=False)


def on(cluster: Cluster) -> Engine:
    """The cluster as an engine."""
    return partial(run_on_ray, address=cluster.address, workers=0)


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait; what never happens ends with the test run's own time limit."""
    while not happened():
        time.sleep(0.02)


def test_a_cluster_makes_the_bytes_of_one_machine_whatever_a_paper_does(cluster: Cluster, tmp_path: Path) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    for name in ("a", "segfault", "exit", "sleep", "bomb", "fault", "refused", "z"):
        (faults / f"{name}.pdf").write_bytes(name.encode())
    (faults / os.fsdecode(b"caf\xe9.pdf")).write_bytes(b"latin-1")

    with node(cluster):
        run(SAMPLES, tmp_path / "ray", extract_paper, on(cluster))
        run(faults, tmp_path / "ray faults", extract_by_name, on(cluster), timeout_s=8)
    run(SAMPLES, tmp_path / "local", extract_paper, HERE)
    run(faults, tmp_path / "local faults", extract_by_name, HERE, timeout_s=8)

    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
    assert tree(tmp_path / "ray faults") == tree(tmp_path / "local faults")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Where papers say that they have begun, and wait for `go`."""
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


@pytest.fixture
def pdf_dir(tmp_path: Path, calls: Path) -> Path:
    """Two papers that are read at once, and four that wait."""
    folder = tmp_path / "pdfs"
    folder.mkdir()
    for name in ("a", "b", *(f"slow {number}" for number in range(4))):
        (folder / f"{name}.pdf").write_text(f"{calls}\n{name}")
    return folder


@pytest.fixture
def local(tmp_path: Path, pdf_dir: Path, calls: Path) -> dict[str, bytes]:
    """Content that one machine makes of these papers."""
    (calls / "go").touch()
    run(pdf_dir, tmp_path / "local", extract_on_call, HERE)
    for call in calls.iterdir():
        call.unlink()
    return tree(tmp_path / "local")


def test_what_a_lost_node_was_reading_is_read_on_another(
    cluster: Cluster, tmp_path: Path, pdf_dir: Path, calls: Path, local: dict[str, bytes]
) -> None:
    with node(cluster) as lost:

        def lose_it() -> None:
            wait_until(lambda: len(list(calls.glob("*.begun"))) == 2)
            cluster.remove_node(lost, allow_graceful=False)
            (calls / "go").touch()

        loser = Thread(target=lose_it, daemon=True)
        loser.start()
        run(pdf_dir, tmp_path / "content", extract_on_call, on(cluster))
        loser.join()
    assert tree(tmp_path / "content") == local


def test_after_a_killed_driver_a_rerun_carries_on(
    cluster: Cluster, tmp_path: Path, pdf_dir: Path, calls: Path, local: dict[str, bytes]
) -> None:
    content = tmp_path / "content"
    driver = started(cluster, pdf_dir, content, calls)
    driver.kill()
    driver.communicate()
    carry_on(cluster, pdf_dir, content, calls, local)


def started(cluster: Cluster, pdf_dir: Path, content: Path, calls: Path) -> subprocess.Popen[str]:
    """A driver in a process of its own, in the middle: two papers are finished, others are being read."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from functools import partial\n"
        "from figtune.extraction import ray_cluster\n"
        "from figtune.core.cli import run_cli\n"
        "from tests.extraction.test_ray import extract_on_call, run, run_on_ray\n"
        "ray_cluster._HEAD_SECONDS = 2\n"
        f"engine = partial(run_on_ray, address={cluster.address!r}, workers=0)\n"
        f"folders = Path({str(pdf_dir)!r}), Path({str(content)!r})\n"
        "sys.exit(run_cli(lambda: run(*folders, extract_on_call, engine)))\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    commits = content / CACHE_FOLDER
    wait_until(lambda: driver.poll() is not None or (len(list(commits.glob("*.json"))) == 2 and any(calls.iterdir())))
    assert driver.poll() is None, "it ended by itself"
    return driver


def carry_on(cluster: Cluster, pdf_dir: Path, content: Path, calls: Path, local: dict[str, bytes]) -> None:
    """The same extraction again; it must read only what is not finished."""
    finished = {path: path.stat().st_mtime_ns for path in (content / CACHE_FOLDER).glob("*.json")}
    assert len(finished) == 2
    (calls / "go").touch()
    run(pdf_dir, content, extract_on_call, on(cluster))
    assert tree(content) == local
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "what was finished is not read again"


@pytest.mark.parametrize("lost", ["the head node of the Ray cluster at", "the Ray node of this machine"])
def test_after_a_lost_head_a_rerun_on_another_cluster_carries_on(
    cluster: Cluster, tmp_path: Path, pdf_dir: Path, calls: Path, local: dict[str, bytes], lost: str
) -> None:
    content = tmp_path / "content"
    with cluster_of_one() as other:
        driver = started(other, pdf_dir, content, calls)
        head: Node = other.head_node  # type: ignore[assignment]
        if "head" in lost:
            head.kill_gcs_server(check_alive=False)
        else:
            for raylet in (*other.worker_nodes, head):
                raylet.kill_raylet(check_alive=False)
        _, said = driver.communicate()
    assert driver.returncode == ExitCode.RESOURCE, said
    (line,) = (line for line in said.splitlines() if "error: " in line)
    assert line.startswith(f"error: {lost}")
    assert line.endswith("run the same command again: the papers that are finished are kept")
    carry_on(cluster, pdf_dir, content, calls, local)


def test_a_node_with_another_library_is_named(cluster: Cluster, tmp_path: Path, pdf_dir: Path) -> None:
    metadata = tmp_path / "other" / "pymupdf-1.9.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: pymupdf\nVersion: 1.9\n")
    problem = f"{socket.gethostname()} has pymupdf 1.9, and this machine pymupdf {software()['pymupdf']};"
    with node(cluster, tmp_path / "other"), pytest.raises(ResourceError, match=re.escape(problem)):
        run(pdf_dir, tmp_path / "content", extract_on_call, on(cluster))


def test_a_node_with_another_python_is_named(
    cluster: Cluster, tmp_path: Path, pdf_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the node sees it, this machine has the other one."""
    theirs = software()["python"]
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "9", "1"))
    with pytest.raises(ResourceError, match=rf"has python {re.escape(theirs)}, and this machine python 3\.9;"):
        run(pdf_dir, tmp_path / "content", extract_on_call, on(cluster))


def test_the_code_travels_and_a_full_disk_of_a_node_keeps_what_is_finished(cluster: Cluster, tmp_path: Path) -> None:
    for name in ("code", "full"):
        (tmp_path / f"{name}.pdf").write_bytes(name.encode())
    with pytest.raises(ResourceError, match=r"the disk of the Ray node .* is full; .* are kept"):
        run(tmp_path, tmp_path / "content", extract_by_name, on(cluster))
    (finished,) = (tmp_path / "content" / CACHE_FOLDER).glob("code-*.json")
    reason = read_json(finished, CacheEntry, "").result.paper.reason
    assert re.fullmatch(r"read by /.*/working_dir_files/.*/figtune/__init__\.py", reason)


def test_a_full_disk_of_the_driver_keeps_what_is_finished_and_a_rerun_carries_on(
    cluster: Cluster,
    tmp_path: Path,
    pdf_dir: Path,
    calls: Path,
    local: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = tmp_path / "content"
    third = find_pdfs(pdf_dir)[2].paper_id
    # Where this process is about to write the third paper's text the disk is really full.
    unfinished = content / TEXTS_FOLDER / f"{TEMPORARY_PREFIX}{os.getpid()}-{third}.json"
    unfinished.parent.mkdir(parents=True)
    unfinished.symlink_to("/dev/full")
    (calls / "go").touch()

    code = run_cli(lambda: run(pdf_dir, content, extract_on_call, on(cluster)))

    said = capsys.readouterr().err
    assert code == ExitCode.RESOURCE
    assert f"error: the disk of {content} is full; free some space there, " in said
    assert "run the same command again, which keeps what is finished" in said
    assert "Traceback" not in said
    assert third not in [path.stem for path in (content / CACHE_FOLDER).iterdir()]
    carry_on(cluster, pdf_dir, content, calls, local)


def test_a_cluster_with_another_ray_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "__version__", "1.0.0")
    with pytest.raises(ResourceError, match=r"is not like this machine.*Ray: 1\.0\.0"):
        run(SAMPLES, tmp_path, extract_paper, on(cluster))


def test_where_no_cluster_is_a_line_says_so(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ResourceError, match=f"no Ray cluster can be used at {address}.*ray start"):
            run(SAMPLES, tmp_path, extract_paper, partial(run_on_ray, address=address, workers=0))


def test_without_ray_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ResourceError, match=r"Ray is not installed; pip install -r requirements-cluster\.txt"):
        run(SAMPLES, tmp_path, extract_paper, partial(run_on_ray, address="", workers=0))


def test_a_full_object_store_is_a_line_and_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "large.pdf").open("wb") as file:
        file.truncate(2 * STORE)
    monkeypatch.setenv("RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES", str(STORE))
    monkeypatch.setenv("RAY_local_fs_capacity_threshold", "0")  # every disk counts as full
    folders = ("--pdf_dir", str(tmp_path), "--work_dir", str(tmp_path / "work"))
    ran = run_script("extract_content.py", *folders, "--extract.engine", "ray", "--workers", "1")
    assert ran.code == ExitCode.RESOURCE, ran.stderr
    assert "error: the object store of this machine's Ray node is full" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_where_papers_are_read_makes_nothing_stale(tmp_path: Path) -> None:
    from config import Config
    from extract_content import describe

    elsewhere = Config(pdf_dir=SAMPLES, extract=replace(EXTRACT, engine="ray", ray_address="auto"))
    assert describe(elsewhere) == describe(Config(pdf_dir=SAMPLES))
