"""A recommender's rollout loop as a process that is killed with SIGKILL: `crash_driver FOLDER POINT [FOLDER:PORT …]`.

POINT is as in `crash_points`, `after save 2`, or `none`. Its clock goes on from where the workflow stands.
"""

import os
import signal
import sys
from pathlib import Path

from tests.recommender.rollout.builders import HandClock
from tests.recommender.rollout.crash_points import Saboteur, sabotage
from tests.recommender.rollout.story import open_store, run_to_end
from tests.recommender.rollout.world import existing_world


def main(folder: str, point: str, *engines: str) -> None:
    folders, ports = zip(*(one.rsplit(":", 1) for one in engines), strict=True)
    store, clock = open_store(Path(folder)), HandClock()
    clock.instant = store.workflow("w1").updated_at
    saboteur = Saboteur(point, lambda: os.kill(os.getpid(), signal.SIGKILL))
    with sabotage(saboteur):
        run_to_end(store, existing_world(folders, [int(port) for port in ports]), clock)


if __name__ == "__main__":
    main(*sys.argv[1:])
