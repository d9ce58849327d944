"""``python -m dpip.command.film FRAMES FIRST STEP PATTERN``: draw every STEP-th frame from FIRST on.

A process of its own, because threads that draw would keep the interpreter from the reactor that shares it.
Frame 7 goes to ``PATTERN % 7``; a line is printed for each.
"""

import sys
from pathlib import Path

from dpip.command.film.scene import Scene


def main(frames: str, first: str, step: str, pattern: str) -> None:
    """Draw them."""
    scene = Scene(int(frames))
    for number in range(int(first), int(frames), int(step)):
        Path(pattern % number).write_bytes(scene.jpeg(number))
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
