"""What each kind of process gets to know: names on a list, and no secret whatever it is called."""

from __future__ import annotations

import os

import pytest

from nemochat.system import environments


def _each(value: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), value)


PLAIN = {"PATH": "/usr/bin", "HOME": "/home/x", "LANG": "C", "LC_ALL": "C", "TZ": "UTC", "TMPDIR": "/t", "USERPROFILE": "C:"}
SECRETS = _each(
    "s3cret",
    """DB_PASS MYSQL_PWD PGPASSWORD GH_PAT SLACK_WEBHOOK AWS_PROFILE AWS_SESSION AWS_ACCESS_KEY_ID KUBECONFIG SSH_AUTH_SOCK HF_TOKEN
    DATABASE_URL NVIDIA_API_KEY LLAMA_API_KEY LLAMA_ARG_API_KEY NEMOCHAT_REMOTE_KEY AMD_TOKEN LC_SECRET LC_PASS LC_ALL_KEYS
    HTTPS_PROXY npm_config__auth XDG_SECRET DISPLAY_PASS path home""",
)
PYTHON = _each("/hostile", "PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONINSPECT PYTHONWARNINGS PYTHONBREAKPOINT")
STEERING = _each(
    "1",
    """CUDA_VISIBLE_DEVICES CUDA_HOME NVIDIA_VISIBLE_DEVICES GGML_VK_VISIBLE_DEVICES GGML_CUDA_FORCE_MMQ VK_ICD_FILENAMES VK_LAYER_PATH
    HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HSA_OVERRIDE_GFX_VERSION GPU_DEVICE_ORDINAL METAL_DEVICE_WRAPPER_TYPE
    MTL_DEBUG_LAYER OMP_NUM_THREADS KMP_AFFINITY OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS MESA_VK_DEVICE_SELECT
    DRI_PRIME ONEAPI_DEVICE_SELECTOR LLAMA_CPP_LIB_PATH LD_PRELOAD MALLOC_ARENA_MAX NEMOCHAT_ENGINE_THREADS XDG_DATA_DIRS""",
)
DESKTOP = _each("1", "DISPLAY WAYLAND_DISPLAY XAUTHORITY XDG_RUNTIME_DIR TMUX DBUS_SESSION_BUS_ADDRESS BROWSER")
ALL = {**STEERING, **DESKTOP, **PYTHON, **SECRETS, **PLAIN}


def test_foreign_programs_get_plain_names_and_nothing_else() -> None:
    assert environments.foreign(ALL) == PLAIN


def test_what_runs_the_programs_of_others_gets_nothing_of_the_user() -> None:
    assert environments.bare({**ALL, "SYSTEMROOT": "C:"}) == {"TZ": "UTC", "SYSTEMROOT": "C:"}


def test_the_engine_also_gets_what_steers_gpus_and_threads() -> None:
    assert environments.engine(ALL) == PLAIN | STEERING | {"XDG_RUNTIME_DIR": "1"}


def test_desktop_programs_also_get_what_leads_to_the_screen() -> None:
    assert environments.desktop(ALL) == PLAIN | DESKTOP | {"XDG_DATA_DIRS": "1"}


def test_the_editor_gets_everything() -> None:
    assert environments.everything(ALL) == ALL


@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH"])
@pytest.mark.parametrize(("given", "kept"), [(":/a:.:b:/c:./d:", "/a:/c"), (".", None), ("", None), ("::", None)])
def test_search_paths_never_mean_the_current_folder(name: str, given: str, kept: str | None) -> None:
    given = given.replace(":", os.pathsep)
    for choose in (environments.foreign, environments.engine, environments.desktop):
        assert choose({name: given}).get(name) == kept
