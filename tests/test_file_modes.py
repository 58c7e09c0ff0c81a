"""Every file of a run has the mode that the umask grants, and what leaves the machine names no folder of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.conftest import Demo


def test_every_file_and_folder_of_a_whole_run_is_for_whom_the_umask_lets_and_names_no_folder(
    demo: Demo, tmp_path: Path
) -> None:
    ran = demo.run("--merge", "--export", str(tmp_path / "export"))
    assert ran.code == 0, ran.stderr
    umask = os.umask(0o022)
    os.umask(umask)
    made = [path for top in (demo.work_dir, demo.output_dir, tmp_path / "export") for path in (top, *top.rglob("*"))]
    assert {path.name for path in made} >= {"merged", "features", "base", "data", "adapter_model.safetensors"}
    others = {
        str(path): oct(stat.S_IMODE(path.stat().st_mode))
        for path in made
        if stat.S_IMODE(path.stat().st_mode) != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert others == {}
    private = [str(demo.work_dir.parent).encode(), str(tmp_path).encode(), f"{Path.home()}/".encode()]
    leaving = [demo.output_dir / "merged", demo.output_dir / "evaluation", tmp_path / "export"]
    files = [path for folder in leaving for path in folder.rglob("*") if path.is_file()]
    assert [str(path) for path in files if any(name in path.read_bytes() for name in private)] == []
