"""Windows' side of `nemochat.system` on this machine: its modules are run anew as if the system were Windows, its few calls are faked."""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any

import pytest

from nemochat.system import clipboard, processes

REAL = (clipboard, processes)
"""Imported before anything is faked: what a module that is run anew imports is this machine's."""


class WindowsError_(Exception):
    """What pywin32's calls raise."""


def module(name: str, **members: Any) -> types.ModuleType:
    """A module of that name with these members."""
    made = types.ModuleType(name)
    vars(made).update(members)
    return made


def pretend(monkeypatch: pytest.MonkeyPatch, *fakes: types.ModuleType) -> None:
    """This is Windows, and has these modules."""
    monkeypatch.setattr(sys, "platform", "win32")
    for fake in fakes:
        monkeypatch.setitem(sys.modules, fake.__name__, fake)


def load(name: str) -> Any:
    """A module of `nemochat.system`, run anew."""
    spec = importlib.util.find_spec(f"nemochat.system.{name}")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class Jobs:
    """win32job, win32api and win32con: job objects, as far as they are used. log: what was done, in order."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.limits: dict[int, dict[str, Any]] = {}
        self.refuses = ""
        self.job = module(
            "win32job",
            error=WindowsError_,
            JobObjectExtendedLimitInformation=9,
            JOB_OBJECT_LIMIT_PROCESS_TIME=0x2,
            JOB_OBJECT_LIMIT_ACTIVE_PROCESS=0x8,
            JOB_OBJECT_LIMIT_PROCESS_MEMORY=0x100,
            JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE=0x2000,
            CreateJobObject=self._create,
            QueryInformationJobObject=lambda job, kind: self.limits[job],
            SetInformationJobObject=self._set,
            AssignProcessToJobObject=self._assign,
            TerminateJobObject=lambda job, code: self.log.append(("terminate", job, code)),
        )
        self.api = module(
            "win32api", error=WindowsError_, OpenProcess=lambda rights, inherits, pid: f"process {pid}", GetCurrentProcess=lambda: "own"
        )
        self.con = module("win32con", PROCESS_SET_QUOTA=0x100, PROCESS_TERMINATE=1)

    def _create(self, attributes: None, name: str) -> int:
        job = len(self.limits) + 1
        self.limits[job] = {"BasicLimitInformation": {"LimitFlags": 0}}
        return job

    def _set(self, job: int, kind: int, limits: dict[str, Any]) -> None:
        self.limits[job] = limits

    def _assign(self, job: int, process: str) -> None:
        if self.refuses:
            raise WindowsError_(5, "AssignProcessToJobObject", self.refuses)
        self.log.append(("assign", job, process))
