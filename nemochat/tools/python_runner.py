"""The program of the process in which one of the user's own functions runs. Only its text is used: ``python -I -c TEXT FD LIMITS``.

Standard input holds one JSON object: source, path, function, arguments, limits. What is standard output at the start is put at the
descriptor FD, and the result goes there as eight bytes of length and JSON: {"value": ...} or {"error": "..."}. LIMITS is the file of
`nemochat.system.limits`; nothing else of nemochat is used here.
"""

import asyncio
import contextlib
import inspect
import json
import os
import runpy
import sys
import types
from collections.abc import Callable
from typing import Any


def work(job: dict[str, Any], limit: Callable[[str, int], None]) -> dict[str, Any]:
    """Run the function, whatever it does. limit: sets a limit that it cannot raise again, where the system knows it."""
    try:
        for name, value in job["limits"].items():
            limit(name, value)
        # Helpers beside the file can be imported, and cannot stand in for Python's own modules.
        sys.path.append(os.path.dirname(job["path"]))  # noqa: PTH120 - a light start
        module = types.ModuleType("nemochat_tool")
        module.__file__ = job["path"]
        sys.modules["nemochat_tool"] = module
        exec(compile(job["source"], job["path"], "exec"), module.__dict__)  # noqa: S102 - the user's own file is what this is for
        value = getattr(module, job["function"])(**job["arguments"])
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return {"value": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}
    except MemoryError:
        return {"error": "it needed more memory than it may have"}
    except BaseException as error:  # noqa: BLE001 - also SystemExit: the one who waits is told
        return {"error": f"{type(error).__name__}: {error}"[:2000]}


def main() -> None:
    """Read the job, do it, and send what came of it."""
    pipe = int(sys.argv[1])
    os.dup2(1, pipe, inheritable=False)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    limits = runpy.run_path(sys.argv[2])
    own = os.getpid()
    data = json.dumps(work(json.load(sys.stdin), limits["limit"])).encode()
    if os.getpid() != own:  # a fork that came back from the function has nothing to say
        os._exit(0)
    data = len(data).to_bytes(8, "big") + data
    with contextlib.suppress(OSError):  # nobody reads it any more
        while data:
            data = data[os.write(pipe, data) :]
    os._exit(0)


if __name__ == "__main__":
    main()
