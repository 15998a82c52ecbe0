"""The program of the process in which one of the user's own functions runs. Only its text is used: ``python -I -c TEXT FD``.

Standard input holds one JSON object: source, path, function, arguments, limits. The result goes to the pipe FD as eight bytes of length
and JSON: {"value": ...} or {"error": "..."}. Nothing of nemochat is imported here.
"""

import asyncio
import contextlib
import inspect
import json
import os
import sys
import types
from typing import Any

with contextlib.suppress(ImportError):  # Windows
    import resource


def limit(name: str, value: int) -> None:
    """Set a limit that the function cannot raise again; where the system does not know it, the clock still holds."""
    with contextlib.suppress(NameError, AttributeError, ValueError, OSError):
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Run the function, whatever it does."""
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
    os.set_inheritable(pipe, False)
    own = os.getpid()
    data = json.dumps(work(json.load(sys.stdin))).encode()
    if os.getpid() != own:  # a fork that came back from the function has nothing to say
        os._exit(0)
    data = len(data).to_bytes(8, "big") + data
    with contextlib.suppress(BrokenPipeError):
        while data:
            data = data[os.write(pipe, data) :]
    os._exit(0)


if __name__ == "__main__":
    main()
