"""Which processes still work on a study."""

import subprocess
import sys
from pathlib import Path

from conftest import environment

from cifar_arch.search.workers import Workers


def test_a_dead_worker_stays_dead(tmp_path: Path) -> None:
    """Each of its trials asks again, whatever the lock's library does with the file."""
    code = """if True:
        import os, sys
        from pathlib import Path
        from cifar_arch.search.workers import Workers
        workers = Workers(Path(sys.argv[1]))
        print(workers.me, flush=True)
        os.kill(os.getpid(), 9)
    """
    words = [sys.executable, "-c", code, str(tmp_path)]
    killed = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    me = Workers(tmp_path)
    assert [me.dead(killed.stdout.strip()) for _ in range(3)] == [True, True, True]
    assert (me.dead(me.me), me.dead("elsewhere-1-abc"), me.others()) == (False, None, 1)
