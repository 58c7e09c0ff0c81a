"""Build the sample papers: `samples/<stem>.pdf` and `samples/<stem>.truth.json`.

python samples/build.py
python samples/build.py --output somewhere_else --only ray_probes
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from making.paper import make_paper, stems


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the papers asked for and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder to write to")
    parser.add_argument("--only", choices=stems(), nargs="+", default=stems(), help="build these papers alone")
    chosen = parser.parse_args(arguments)
    chosen.output.mkdir(parents=True, exist_ok=True)
    for stem in chosen.only:
        made = make_paper(stem)
        (chosen.output / f"{stem}.pdf").write_bytes(made.pdf)
        (chosen.output / f"{stem}.truth.json").write_text(made.truth.as_json(), encoding="utf-8")
        sys.stdout.write(f"{stem}.pdf: {len(made.pdf):,} bytes, {len(made.truth.figures)} figures and tables\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
