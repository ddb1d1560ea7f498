"""Processes that are quickly there and may be killed: forked from one that has done all of it before.

It has modules, schemas and compiled queries at hand, which takes each of them ten seconds otherwise, and neither open
files nor connections. This module is the process that forks, and the handle that tests have of it; what the forked
ones do stands in ``acts``.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from fair_dagster.settings import PROJECT_ROOT, Settings
from tests.crash.points import PHASES, Point

_LONGEST = 240.0


@dataclass(frozen=True)
class Ended:
    """What became of a process: what it said until then, the signal that ended it (0: none), and how long it worked."""

    said: tuple[dict[str, Any], ...]
    signal: int
    seconds: float

    def all(self, key: str) -> list[Any]:
        return [line[key] for line in self.said if key in line]

    def last(self, key: str) -> Any:
        """What it said last of ``key``."""
        if not (found := self.all(key)):
            raise AssertionError(f"it said nothing of {key!r}: {self.said}")
        return found[-1]

    @property
    def phase(self) -> str:
        """What it was doing when it ended."""
        return str((self.all("phase") or PHASES[:1])[-1])

    @property
    def was_killed(self) -> bool:
        return self.signal == signal.SIGKILL


class Nursery:
    """Starts processes over one home, one at a time.

    Args:
        settings: home and models, which are the same for all.
        log: takes what the processes write to stderr.
    """

    def __init__(self, settings: Settings, log: Path) -> None:
        self._log = log
        self._turn = threading.Lock()
        with log.open("a") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery", str(settings.home), str(settings.models)],
                cwd=PROJECT_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._answer()

    def run(
        self,
        act: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, str],
        kill: Point | None = None,
        **arguments: Any,
    ) -> Ended:
        """Let a process do ``act`` of ``acts`` and wait for its end, which is a violent one at the point ``kill``."""
        request = {"act": act, "settings": dict(settings), "environment": dict(environment), "arguments": arguments}
        request |= {"effect": kill.effect if kill else 0, "seconds": kill.seconds if kill and not kill.effect else None}
        with self._turn:
            cast(IO[str], self._process.stdin).write(json.dumps(request) + "\n")
            cast(IO[str], self._process.stdin).flush()
            answer = self._answer()
        return Ended(tuple(answer["said"]), answer["signal"], answer["worked"])

    def done(self, act: str, settings: Mapping[str, Any], environment: Mapping[str, str], **arguments: Any) -> Ended:
        """As ``run``, of what must come to its end.

        Raises:
            AssertionError: it did not.
        """
        ended = self.run(act, settings, environment, None, **arguments)
        if ended.signal or ended.all("raised"):
            raise AssertionError(f"{act}: {ended}\n{self._log.read_text()[-3000:]}")
        return ended

    def warm(self, settings: Mapping[str, Any], **arguments: Any) -> None:
        """Let the process that forks do once itself what its children will do again and again."""
        self.done("warm", settings, {}, **arguments)

    def close(self) -> None:
        cast(IO[str], self._process.stdin).close()
        self._process.wait(timeout=30)
        cast(IO[str], self._process.stdout).close()

    def _answer(self) -> dict[str, Any]:
        line = cast(IO[str], self._process.stdout).readline()
        if not line:
            raise AssertionError(f"the process that forks has ended: {self._log.read_text()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _serve(home: Path, models: Path) -> None:
    from fair_dagster.pipelines.zenml.environment import prepare

    # The forked write there; the standard output is for answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepare(Settings(home=home, models=models))
    from tests.crash import acts

    acts.import_everything()
    print(json.dumps({}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["act"] == "warm":
            acts.warm(Settings(**request["settings"]), **request["arguments"])
            # What is there is never thrown away: looking through it would copy all of it in each child.
            gc.collect()
            gc.freeze()
            answer = {"said": [], "signal": 0, "worked": 0.0}
        else:
            answer = _attend(request)
        print(json.dumps(answer), file=answers, flush=True)


def _attend(request: dict[str, Any]) -> dict[str, Any]:
    """Fork a process, hear what it says, and kill it when its time has come."""
    if threading.active_count() != 1:
        raise RuntimeError(f"a process with threads cannot be forked: {threading.enumerate()}")
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        _act(request, os.fdopen(writing, "w", buffering=1))
    os.close(writing)
    said, begun, deadline = b"", None, time.monotonic() + _LONGEST
    while True:
        if begun is None and b'"begun"' in said:
            begun = time.monotonic()
            if request["seconds"] is not None:
                deadline = begun + request["seconds"]
        if not select.select([reading], [], [], max(deadline - time.monotonic(), 0))[0]:
            os.kill(pid, signal.SIGKILL)
            deadline += _LONGEST
            continue
        if not (block := os.read(reading, 65536)):
            break
        said += block
    worked = time.monotonic() - begun if begun else 0.0
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    # The last line may be cut short.
    lines = [json.loads(line) for line in said.split(b"\n")[:-1]]
    return {"said": lines, "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, "worked": worked}


def _act(request: dict[str, Any], pipe: IO[str]) -> None:
    """The forked process, from its beginning to its end."""
    from tests.crash import acts

    def say(**told: Any) -> None:
        pipe.write(json.dumps(told) + "\n")
        pipe.flush()

    try:
        sys.stdin.close()
        os.environ.update(request["environment"])
        acts.ACTS[request["act"]](Settings(**request["settings"]), say, request["effect"], **request["arguments"])
    except BaseException as error:
        import traceback

        traceback.print_exc()
        say(raised=f"{type(error).__name__}: {error}")
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
