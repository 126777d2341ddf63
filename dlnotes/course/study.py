"""Starts JupyterLab on the lessons, says where it answers, and leaves nothing running."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from dlnotes.validation import check_int, received

INDEX = "notebooks/README.md"
DEFAULT_PORT = 8888
_START_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 10
_KERNEL_TIMEOUT_S = 2
_SETTINGS = {
    # the index is there to be read, not to be edited
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    # no question about news before the first lesson, and no request to a website
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


class StudyError(RuntimeError):
    """JupyterLab did not start; the message holds the end of its log."""


def study(
    path: str,
    *,
    root: Path,
    port: int | None = None,
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the course with JupyterLab until Ctrl-C, and open `path` in a browser.

    Args:
        path: What to show first, relative to `root`: a notebook or a Markdown file.
        root: The repository's root.
        port: Port on 127.0.0.1; None takes 8888. If it is taken, another one is chosen.
        browser: Whether to open a browser, where there is a display.
        say: Receives each message.

    Raises:
        FileNotFoundError: If there is no `path`.
        StudyError: If the server does not start.
        ValueError: If `port` is out of range.
    """
    wanted = DEFAULT_PORT if port is None else check_int("port", port, low=1, high=65535)
    if not (root / path).is_file():
        raise FileNotFoundError(
            f"`path` must be a file of the course. {received(path=path)}. "
            f"If it is part of the project, restore it with: git checkout -- {path}"
        )
    chosen = free_port(wanted)
    if port is not None and chosen != port:
        say(f"Port {port} is taken; using {chosen}.")
    state = root / "build" / "jupyter"
    with tempfile.TemporaryDirectory(prefix="dlnotes-") as runtime_folder:
        token = os.environ.get("JUPYTER_TOKEN") or secrets.token_hex(16)
        env = server_environment(os.environ, state=state, runtime=runtime_folder, token=token)
        write_settings(state)
        log_path = state / "server.log"
        with log_path.open("wb") as log, _stop_signals():
            server = subprocess.Popen(
                server_command(root, state, chosen),
                cwd=root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **_own_group(),
            )
            try:
                base = _wait_until_it_answers(server, Path(runtime_folder), log_path, token)
                address = f"{base}lab/tree/{urllib.parse.quote(path)}?token={token}"
                say(f"JupyterLab is running at:\n\n    {address}\n")
                _open_browser(address, browser, say)
                say("Press Ctrl-C to stop it.")
                server.wait()
                say("JupyterLab was shut down.")
            except KeyboardInterrupt:
                say("\nStopping JupyterLab …")
            finally:
                _stop(server)


def server_command(root: Path, state: Path, port: int) -> list[str]:
    """Return the command that starts the server: on this machine only."""
    settings = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 50,  # the port may be taken between our look and its start
        "ServerApp.root_dir": root,
        "ServerApp.open_browser": False,
        "LabApp.extension_manager": "readonly",
        "ContentsManager.checkpoints_class": "dlnotes.course.checkpoints.ProjectCheckpoints",
        "ProjectCheckpoints.checkpoint_dir": state / "checkpoints",
    }
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # containers
        settings["ServerApp.allow_root"] = True
    return [
        sys.executable,
        "-m",
        "jupyterlab",
        *(f"--{name}={value}" for name, value in settings.items()),
    ]


def server_environment(
    env: Mapping[str, str], *, state: Path, runtime: str, token: str
) -> dict[str, str]:
    """Return the server's environment: its own state folders, and this Python first on PATH."""
    scripts = str(Path(sys.executable).parent)
    config = [str(state / "config"), *filter(None, [env.get("JUPYTER_CONFIG_PATH")])]
    return dict(env) | {
        "JUPYTER_TOKEN": token,  # not on the command line, which other users can read
        "JUPYTER_RUNTIME_DIR": runtime,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(config),
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this Python, not another one of that name
        "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        "PATH": os.pathsep.join([scripts, env.get("PATH", os.defpath)]),
    }


def write_settings(state: Path) -> None:
    """Write the defaults of JupyterLab's settings; the learner's own settings go before them."""
    folder = state / "config" / "labconfig"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_SETTINGS, indent=1)
    (folder / "default_setting_overrides.json").write_text(text, encoding="utf-8")


def free_port(wanted: int) -> int:
    """Return `wanted` if it is free on 127.0.0.1, else a free port near it, else any."""
    for port in (*range(wanted, min(wanted + 20, 65536)), 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]
    raise StudyError("No port is free on 127.0.0.1")


def why_no_browser(env: Mapping[str, str], platform: str) -> str | None:
    """Return why a browser cannot be opened on this machine, or None if it can be tried.

    Example:
        >>> why_no_browser({}, "linux")
        'this machine has no display'
        >>> why_no_browser({"DISPLAY": ":0"}, "linux")
    """
    if env.get("SSH_CONNECTION"):
        return "you are connected by ssh"
    graphical = platform in ("win32", "darwin") or env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")
    return None if graphical or env.get("BROWSER") else "this machine has no display"


def _open_browser(address: str, wanted: bool, say: Callable[[str], None]) -> None:
    if not wanted:
        return
    reason = why_no_browser(os.environ, sys.platform)
    if reason is None and webbrowser.open(address):
        return
    say(
        f"No browser was opened: {reason or 'none was found'}. Open the address yourself; from "
        "another computer, forward the port first:\n"
        f"    ssh -L {urllib.parse.urlsplit(address).port}:127.0.0.1:"
        f"{urllib.parse.urlsplit(address).port} USER@THIS-MACHINE"
    )


def _wait_until_it_answers(
    server: subprocess.Popen[bytes], runtime: Path, log_path: Path, token: str
) -> str:
    """Return the server's base address once it answers a request."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise StudyError(f"JupyterLab stopped at once. {_tail(log_path)}")
        base = _base_address(runtime)
        if base is not None:
            request = urllib.request.Request(
                f"{base}api/status", headers={"Authorization": f"token {token}"}
            )
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with contextlib.suppress(OSError), opener.open(request, timeout=5):
                return base
        time.sleep(0.05)
    raise StudyError(f"JupyterLab did not answer within {_START_TIMEOUT_S} s. {_tail(log_path)}")


def _base_address(runtime: Path) -> str | None:
    for path in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(ValueError):  # just being written
            info = json.loads(path.read_text(encoding="utf-8"))
            scheme = "https" if info["secure"] else "http"
            return f"{scheme}://127.0.0.1:{info['port']}{info['base_url']}"
    return None


def _tail(log_path: Path) -> str:
    lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(["The end of its log:", *(f"    {line}" for line in lines[-12:])])


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Treat a closed terminal and `kill` like Ctrl-C."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    names = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # a background job of a shell starts with SIGINT ignored; `kill -INT` shall stop it too
    before = {number: signal.signal(number, interrupt) for number in (*numbers, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _own_group() -> dict[str, Any]:
    """Keep Ctrl-C in the terminal from the server: it is stopped by us, without a question."""
    if os.name == "posix":
        return {"start_new_session": True}
    return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


def _stop(server: subprocess.Popen[bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave orphans
    family = _family(server.pid)
    if server.poll() is None:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_TIMEOUT_S)
    _, alive = psutil.wait_procs(family, timeout=_KERNEL_TIMEOUT_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=_KERNEL_TIMEOUT_S)
    server.wait()


def _family(pid: int) -> list[psutil.Process]:
    try:
        server = psutil.Process(pid)
        return [*server.children(recursive=True), server]
    except psutil.NoSuchProcess:
        return []
