"""The whole package without what only POSIX systems have: in a process in which those modules and functions are gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = '''
import importlib, importlib.abc, os, pkgutil, signal, sys
from pathlib import Path
from unittest.mock import MagicMock

BLOCKED = {"fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty", "curses", "_curses", "_posixsubprocess"}
SIGNALS = ("SIGKILL", "SIGHUP", "SIGSTOP", "SIGTSTP", "SIGCONT", "SIGCHLD", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGWINCH", "SIGXCPU")
FUNCTIONS = ("fork", "killpg", "getuid", "geteuid", "getgid", "setsid", "nice", "fchmod", "chown", "mkfifo", "uname", "statvfs", "getpgid")
FOR_POSIX_ALONE = {"nemochat.tui.terminal"}  # the driver of Textual's that is never taken on Windows


def names():
    import nemochat
    return sorted({each.name for each in pkgutil.walk_packages(nemochat.__path__, "nemochat.")} - FOR_POSIX_ALONE - {"nemochat.__main__"})


class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"Windows has no {name}", name=name)
        return None


# Once as it is, so that only nemochat's own modules run anew: Python's and others' have their own ways on Windows.
wanted = names()
for each in wanted:
    importlib.import_module(each)
for each in [name for name in sys.modules if name.partition(".")[0] in BLOCKED | {"nemochat"}]:
    del sys.modules[each]
sys.meta_path.insert(0, Wall())
sys.platform = "win32"
os.environ["SYSTEMROOT"] = "/"
for each in SIGNALS:
    delattr(signal, each)
for each in FUNCTIONS:
    delattr(os, each)
class Refused(Exception):
    pass
for each in ("msvcrt", "win32api", "win32con", "win32job", "win32clipboard", "win32console"):
    sys.modules[each] = MagicMock(error=Refused, CTRL_CLOSE_EVENT=2)
for each in wanted:
    importlib.import_module(each)
assert not FOR_POSIX_ALONE & set(sys.modules), "it is imported where it is needed"

# What every start does: settings, files, history, claims, the library.
from nemochat.chat.recall import DraftFile, KeptDraft, PromptHistory
from nemochat.domain.chat import Chat
from nemochat.files import log_problem, narrow, set_aside, write_whole
from nemochat.library.claims import Claims
from nemochat.library.store import Library
from nemochat.paths import find_paths
from nemochat.settings import load_settings
from nemochat.system.disk import HAS_OWNERS

assert not HAS_OWNERS
home = Path(sys.argv[1])
paths = find_paths({f"NEMOCHAT_{each}_DIR": str(home / each) for each in ("CONFIG", "DATA", "LOG", "CACHE")})
narrow(home)
load_settings(paths.settings_file, {}, {})
write_whole(paths.settings_file, b"[interface]\\n", by_hand=True)
write_whole(paths.settings_file, b"", by_hand=True, keep_mode=True)
set_aside(paths.settings_file)
assert log_problem(paths.engine_log) == ""
history = PromptHistory(paths.prompt_history, limit=2)
for number in range(9):
    history.add(f"prompt {number}")
assert PromptHistory(paths.prompt_history).older("") == "prompt 8"
assert len(paths.prompt_history.read_text().splitlines()) < 6, "shortened where it stands, as an open file cannot be replaced"
claims = Claims(paths.data_dir / "open.lock")
assert claims.claim("a") and claims.claim("a")
claims.release("a")
draft = DraftFile(paths.drafts)
draft.save(KeptDraft("half a sentence"))
assert draft.load().text == "half a sentence"
with Library.open(paths.library)[0] as library:
    library.save(None, 0, None, Chat())
    assert len(library.conversations()) == 1
print("imported", len(wanted))
'''


def test_every_module_can_be_imported_where_posix_is_not_and_files_are_written(tmp_path: Path) -> None:
    """`import resource` at the top of one of them, and the program does not start there."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) > 300
