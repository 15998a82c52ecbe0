"""What a process gets to know of the user's environment: lists of names that may pass, for each kind of process.

Nothing passes because it does not look like a secret: a name is in a list, or it stays behind. Folders that are not absolute are taken out
of search paths, because they would mean the folder in which the process happens to run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLAIN = _names(
    """
    PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR TEMP TMP LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH
    LC_ALL LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME LC_NUMERIC LC_PAPER
    LC_TELEPHONE LC_TIME
    ALLUSERSPROFILE APPDATA COMMONPROGRAMFILES COMMONPROGRAMFILES(X86) COMMONPROGRAMW6432 COMSPEC HOMEDRIVE HOMEPATH LOCALAPPDATA
    NUMBER_OF_PROCESSORS OS PATHEXT PROCESSOR_ARCHITECTURE PROCESSOR_IDENTIFIER PROGRAMDATA PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432
    SYSTEMDRIVE SYSTEMROOT USERNAME USERPROFILE WINDIR
    """
)
"""What a program needs to run at all, as this user, in their language; the last four lines are Windows'."""

_DESKTOP = _names(
    """
    DISPLAY WAYLAND_DISPLAY XAUTHORITY XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS TMUX TMUX_TMPDIR
    BROWSER DESKTOP_SESSION GNOME_DESKTOP_SESSION_ID KDE_FULL_SESSION KDE_SESSION_VERSION XDG_CONFIG_DIRS XDG_CONFIG_HOME XDG_CACHE_HOME
    XDG_CURRENT_DESKTOP XDG_DATA_DIRS XDG_DATA_HOME XDG_SESSION_DESKTOP XDG_SESSION_TYPE XDG_STATE_HOME
    GTK_IM_MODULE QT_IM_MODULE XMODIFIERS MOZ_ENABLE_WAYLAND WSLENV WSL_DISTRO_NAME WSL_INTEROP
    """
)
"""What leads to the user's screen, clipboard and browser."""

_ENGINE = _names(
    """
    LD_PRELOAD DYLD_INSERT_LIBRARIES GLIBC_TUNABLES XDG_RUNTIME_DIR XDG_CACHE_HOME XDG_CONFIG_DIRS XDG_CONFIG_HOME XDG_DATA_DIRS
    XDG_DATA_HOME NVIDIA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES NVIDIA_TF32_OVERRIDE DRI_PRIME DISABLE_LAYER_AMD_SWITCHABLE_GRAPHICS_1
    """
)
_ENGINE_BEGINNINGS = _names(
    """
    GGML_ LLAMA_ MTMD_ CUDA_ CUBLAS_ NCCL_ HIP_ HIPBLAS_ ROCR_ ROCM_ ROCBLAS_ HSA_ AMD_ GPU_ VK_ MESA_ RADV_ AMDVLK_ ANV_ NVK_ LVP_ LP_
    METAL_ MTL_ SYCL_ ONEAPI_ ONEDNN_ ZE_ ZES_ UR_ MUSA_ ASCEND_ OCL_ OPENCL_ OMP_ GOMP_ KMP_ LIBOMP_ OPENBLAS_ GOTO_ MKL_ BLIS_ VECLIB_
    MALLOC_ NEMOCHAT_
    """
)
"""What steers llama.cpp, its backends and the libraries below them: variables of many names, of which new ones come with each version."""

_BARE = _names("SYSTEMROOT WINDIR APPDATA TZ LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH")
"""Without what Python does not start, or not find its packages."""

_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
"""LLAMA_API_KEY begins like one that steers."""

_SEARCHED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")


def bare(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For a process of Python that runs what others wrote: nothing of the user's."""
    return _chosen(own, _BARE)


def foreign(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For programs that are not nemochat's, or that read what is not: plain names alone, and no secret whatever it is called."""
    return _chosen(own, _PLAIN)


def desktop(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For the user's clipboard programs and browser: also what leads to the screen."""
    return _chosen(own, _PLAIN | _DESKTOP)


def engine(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For nemochat's own workers: also what steers CUDA, ROCm, Vulkan, Metal and ggml. No ``PYTHON*``: what is installed is imported."""
    steering = {name for name in own if name.startswith(tuple(_ENGINE_BEGINNINGS)) and not _SECRET.search(name)}
    return _chosen(own, _PLAIN | _ENGINE | steering)


def everything(own: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For the user's editor alone."""
    return dict(own)


def absolute_folders(search_path: str) -> list[str]:
    """The folders of a search path that mean the same wherever a process runs: an empty one is the current folder, as ``.`` is."""
    return [folder for folder in search_path.split(os.pathsep) if Path(folder).is_absolute()]


def _chosen(own: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    chosen = {name: own[name] for name in names if name in own}
    for name in _SEARCHED:
        if name in chosen:
            chosen[name] = os.pathsep.join(absolute_folders(chosen[name]))
            if not chosen[name]:
                # An empty search path would be the current folder again.
                del chosen[name]
    return chosen
