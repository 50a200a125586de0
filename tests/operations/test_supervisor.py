"""The supervisor, tried on small Python children: order, restarts, ends, and what other terminals see."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from tradewire.core.errors import StackError
from tradewire.operations.stack import (
    Part,
    PartFailed,
    PartRefused,
    PartStatus,
    PortTaken,
    Restarts,
    StackBusy,
    StackStatus,
    Supervisor,
    command_part,
    ensure_port_free,
    free_ports,
    is_running,
    live_table,
    pending_port,
    read_status,
    reset_data_folder,
    start_child,
    status_table,
    stop_running,
)
from tradewire.operations.stack._part import start_levels
from tradewire.operations.stack._process import Child, wait_until_ready
from tradewire.operations.stack._table import duration

FAST = Restarts(delay_s_min=0.05, delay_s_max=0.2, first_tries_max=3)
SLEEP = "import time; time.sleep(600)"
# Writes its name with a time when SIGTERM arrives, then ends.
POLITE = """
import signal, sys, time
def end(*_):
    open(sys.argv[2], "a").write(sys.argv[1] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[3], "a").write(sys.argv[1] + "\\n")
# A signal that comes between Python's look for one and the kernel's sleep is handled when that sleep is over.
while True:
    time.sleep(0.1)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)

Eventually = Callable[..., None]


def python(text: str, *arguments: object) -> list[str]:
    return [sys.executable, "-S", "-c", text, *map(str, arguments)]


def part(folder: Path, name: str, command: Sequence[str], **options: object) -> Part:
    return command_part(name, command, log_file=folder / f"{name}.log", **options)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def one(supervisor: Supervisor, name: str) -> PartStatus:
    return next(status for status in supervisor.status().parts if status.name == name)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Makes a started supervisor that is killed after the test whatever happened in it."""
    made: list[Supervisor] = []

    def make(*parts: Part, restarts: Restarts = FAST) -> Supervisor:
        supervisor = Supervisor(parts, data_folder=tmp_path / "data", restarts=restarts)
        made.append(supervisor)
        supervisor.start()
        return supervisor

    yield make
    for supervisor in made:
        supervisor.kill()
        supervisor.stop()


def test_a_part_that_refuses_its_configuration_fails_the_stack_at_its_first_start(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    """Exit code 2 of ours: another start would say the same."""
    starts = tmp_path / "starts"
    refuses = python("import sys; open(sys.argv[1], 'a').write('x'); print('no such flow'); sys.exit(2)", starts)
    supervisor = supervise(part(tmp_path, "worker", refuses, refused_code=2, pending=lambda: "not ready"))
    with pytest.raises(PartRefused, match="no such flow"):
        supervisor.wait_ready(60)
    assert "x" == starts.read_text()
    assert ("failed", 0) == (one(supervisor, "worker").state, one(supervisor, "worker").restarts)


def test_a_part_that_refuses_its_configuration_later_fails_alone(
    tmp_path: Path, supervise: Callable[..., Supervisor], eventually: Eventually
) -> None:
    """The other parts of a stack that was ready are worth keeping; the part is started no more."""
    starts, end = tmp_path / "starts", tmp_path / "end"
    waits = python(
        "import os, sys, time\nopen(sys.argv[1], 'a').write('x')\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(0.02)\nprint('no such flow')\nsys.exit(2)",
        starts,
        end,
    )
    supervisor = supervise(part(tmp_path, "kafka", python(SLEEP)), part(tmp_path, "worker", waits, refused_code=2))
    supervisor.wait_ready(60)
    end.touch()
    eventually(lambda: one(supervisor, "worker").state == "failed")

    assert "ended with exit code 2" in one(supervisor, "worker").note
    assert ("degraded", "ready") == (supervisor.status().state, one(supervisor, "kafka").state)
    assert supervisor.error is None
    # Longer than any delay before a restart.
    assert not threading.Event().wait(3 * FAST.delay_s_max)
    assert "x" == starts.read_text()


def test_parts_start_after_those_they_depend_on_and_end_before_them(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    """The worker must never see a broker that is not there yet, nor outlive it."""
    ends, starts = tmp_path / "ends", tmp_path / "starts"

    def polite(name: str, *depends_on: str) -> Part:
        def pending() -> str | None:
            return None if starts.exists() and name in starts.read_text().split() else "not started"

        return part(tmp_path, name, python(POLITE, name, ends, starts), pending=pending, depends_on=depends_on)

    supervisor = supervise(polite("worker", "topics"), polite("kafka"), polite("topics", "kafka"))
    supervisor.wait_ready(60)
    supervisor.stop()

    assert ["kafka", "topics", "worker"] == starts.read_text().split()
    assert ["worker", "topics", "kafka"] == ends.read_text().split()
    assert {"stopped"} == {status.state for status in supervisor.status().parts}


def test_a_killed_part_comes_back_and_is_counted(
    tmp_path: Path, supervise: Callable[..., Supervisor], eventually: Eventually
) -> None:
    """kill -9 of a part costs its backoff, nothing else."""
    supervisor = supervise(part(tmp_path, "sink", python(SLEEP)))
    supervisor.wait_ready(60)
    first = one(supervisor, "sink").pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    eventually(lambda: one(supervisor, "sink").restarts == 1 and one(supervisor, "sink").state == "ready")
    assert one(supervisor, "sink").pid != first
    assert "ready" == supervisor.status().state
    assert supervisor.error is None


def test_a_part_that_keeps_dying_is_started_again_later_and_later(
    tmp_path: Path, supervise: Callable[..., Supervisor], eventually: Eventually
) -> None:
    """Once it has been ready the supervisor never gives up, and it does not spin either."""
    times, may_die = tmp_path / "times", tmp_path / "may_die"
    text = (
        f"import os, time; open({str(times)!r}, 'a').write(f'{{time.monotonic()}}\\n')\n"
        f"while not os.path.exists({str(may_die)!r}): time.sleep(0.01)"
    )
    restarts = Restarts(delay_s_min=0.2, delay_s_max=60, jitter=0.0, first_tries_max=1)
    supervisor = supervise(part(tmp_path, "sink", python(text)), restarts=restarts)
    supervisor.wait_ready(60)
    may_die.touch()

    eventually(lambda: times.exists() and len(times.read_text().split()) >= 5)
    moments = [float(line) for line in times.read_text().split()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert all(gap >= delay for gap, delay in zip(gaps, (0.2, 0.4, 0.8, 1.6), strict=False)), gaps
    assert supervisor.error is None


def test_a_part_that_never_becomes_ready_fails_the_stack_with_its_log(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    """A mistake in the configuration is an error message, not an endless loop."""
    text = "import sys; print('setting x is wrong'); sys.exit(3)"
    supervisor = supervise(part(tmp_path, "worker", python(text), pending=lambda: "not there"))

    with pytest.raises(PartFailed, match=r"worker ended with exit code 3 before it was ready(?s:.*)setting x is wrong"):
        supervisor.wait_ready(60)
    assert "failed" == one(supervisor, "worker").state
    assert "ended with exit code 3 before it was ready; setting x is wrong" == one(supervisor, "worker").note
    assert 2 == one(supervisor, "worker").restarts


def test_a_port_that_is_taken_fails_the_stack_at_once(tmp_path: Path, supervise: Callable[..., Supervisor]) -> None:
    """There is nothing to wait for: somebody has to end the holder or change the setting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def start() -> Child:
            ensure_port_free("127.0.0.1", port, purpose="the sink", setting="sink.metrics_port")
            raise AssertionError("the port was free")

        supervisor = supervise(Part(name="sink", start=start))
        with pytest.raises(PortTaken) as caught:
            supervisor.wait_ready(60)

    assert f"port {port}" in str(caught.value)
    assert f"pid {os.getpid()}" in str(caught.value)
    assert "set sink.metrics_port" in str(caught.value)
    assert 0 == one(supervisor, "sink").restarts


def test_a_part_that_hangs_at_its_start_is_named_with_what_is_missing(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    """A deadline ends the wait, and the hanging process."""
    hanging = part(tmp_path, "kafka", python(SLEEP), pending=lambda: "no answer from Kafka", ready_timeout_s=0.2)
    started: list[Child] = []

    def start() -> Child:
        started.append(hanging.start())
        return started[0]

    supervisor = supervise(replace(hanging, start=start), restarts=Restarts(first_tries_max=1))
    with pytest.raises(PartFailed, match=r"kafka is not ready after 0 s: no answer from Kafka"):
        supervisor.wait_ready(60)
    (child,) = started
    assert gone(child.pid)


def test_a_part_that_hangs_later_is_shown_and_then_started_again(
    tmp_path: Path, supervise: Callable[..., Supervisor], eventually: Eventually
) -> None:
    """A process that lives and answers nothing is as dead as a dead one, only slower to see.

    The supervisor itself asks what is shown: it is over when a slow test looks.
    """
    hung = tmp_path / "hung"
    shown: list[tuple[str, str, str]] = []

    def pending() -> str | None:
        if not hung.exists():
            return None
        status = supervisor.status()
        shown.append((status.state, status.parts[0].state, status.parts[0].note))
        return "no answer from Kafka"

    hanging = part(
        tmp_path,
        "kafka",
        python(SLEEP),
        pending=pending,
        check_every_s=0.05,
        hang_timeout_s=2.0,
    )
    supervisor = supervise(hanging)
    supervisor.wait_ready(60)
    first = one(supervisor, "kafka").pid
    assert first is not None
    hung.touch()

    eventually(lambda: one(supervisor, "kafka").restarts == 1)
    assert gone(first)
    assert ("degraded", "unresponsive", "no answer from Kafka") in shown
    hung.unlink()
    eventually(lambda: supervisor.status().state == "ready")


def test_a_part_that_answers_again_in_time_is_left_alone(
    tmp_path: Path, supervise: Callable[..., Supervisor], eventually: Eventually
) -> None:
    """A pause of the machine is no reason to kill anything."""
    hung = tmp_path / "hung"
    pending = lambda: "no answer" if hung.exists() else None  # noqa: E731
    supervisor = supervise(part(tmp_path, "sink", python(SLEEP), pending=pending, check_every_s=0.05))
    supervisor.wait_ready(60)
    hung.touch()
    eventually(lambda: one(supervisor, "sink").state == "unresponsive")
    hung.unlink()

    eventually(lambda: one(supervisor, "sink").state == "ready")
    assert 0 == one(supervisor, "sink").restarts


def test_a_one_shot_step_runs_once_and_lets_the_others_start(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    """Topics and schemas are applied before the worker starts, and not again when they are done."""
    marks = tmp_path / "marks"
    step = part(tmp_path, "topics", python(f"open({str(marks)!r}, 'a').write('x')"), one_shot=True)
    supervisor = supervise(part(tmp_path, "worker", python(SLEEP), depends_on=["topics"]), step)

    supervisor.wait_ready(60)

    assert "done" == one(supervisor, "topics").state
    assert "ready" == one(supervisor, "worker").state
    assert "x" == marks.read_text()


def test_a_one_shot_step_that_fails_holds_back_what_depends_on_it(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    """A worker on half-made topics would be worse than none."""
    step = part(tmp_path, "topics", python("raise SystemExit('no such broker')"), one_shot=True)
    supervisor = supervise(step, part(tmp_path, "worker", python(SLEEP), depends_on=["topics"]))

    with pytest.raises(PartFailed, match=r"topics ended with exit code 1(?s:.*)no such broker"):
        supervisor.wait_ready(60)
    supervisor.stop()
    assert not (tmp_path / "worker.log").exists()


def test_a_deaf_part_is_killed_after_its_own_timeout(tmp_path: Path, supervise: Callable[..., Supervisor]) -> None:
    """One hanging process must not keep the stack from ending."""
    log = tmp_path / "deaf.log"
    deaf = part(
        tmp_path,
        "deaf",
        python(STUBBORN),
        pending=lambda: None if log.exists() and "deaf" in log.read_text() else "deaf ears",
        stop_timeout_s=0.3,
    )
    supervisor = supervise(deaf)
    supervisor.wait_ready(60)
    pid = one(supervisor, "deaf").pid
    assert pid is not None

    supervisor.stop()

    assert gone(pid)


def test_kill_cuts_a_slow_stop_short(tmp_path: Path, supervise: Callable[..., Supervisor]) -> None:
    """The second Ctrl-C of an impatient operator."""
    log = tmp_path / "deaf.log"
    deaf = part(
        tmp_path,
        "deaf",
        python(STUBBORN),
        pending=lambda: None if log.exists() and "deaf" in log.read_text() else "deaf ears",
        stop_timeout_s=600,
    )
    supervisor = supervise(deaf)
    supervisor.wait_ready(60)
    stopper = threading.Thread(target=supervisor.stop)
    stopper.start()
    supervisor.kill()
    stopper.join(60)

    assert not stopper.is_alive()
    assert "stopped" == supervisor.status().state


def test_a_part_that_died_is_started_again_after_a_stop_only_by_a_new_stack(
    tmp_path: Path, supervise: Callable[..., Supervisor], eventually: Eventually
) -> None:
    """A stop during a backoff ends at once and starts nothing any more."""
    slow = Restarts(delay_s_min=600, delay_s_max=600)
    supervisor = supervise(part(tmp_path, "sink", python("import time; time.sleep(0.2)")), restarts=slow)
    eventually(lambda: one(supervisor, "sink").state == "backoff")

    began = time.monotonic()
    supervisor.stop()

    assert time.monotonic() - began < 600
    assert "stopped" == one(supervisor, "sink").state
    assert not is_running(tmp_path / "data")


def test_two_stacks_cannot_share_a_data_folder(tmp_path: Path, supervise: Callable[..., Supervisor]) -> None:
    """The second one says who is there, and changes nothing."""
    first = supervise(part(tmp_path, "sink", python(SLEEP)))
    first.wait_ready(60)

    with pytest.raises(StackBusy, match=rf"process id {os.getpid()} already uses .*tradewire down"):
        Supervisor([part(tmp_path, "sink", python(SLEEP))], data_folder=tmp_path / "data").start()
    assert "ready" == first.status().state


def test_the_state_file_tells_other_terminals_all_there_is_to_know(
    tmp_path: Path, supervise: Callable[..., Supervisor]
) -> None:
    """pid, port, restarts, state and memory of each part, without asking the supervisor."""
    supervisor = supervise(part(tmp_path, "sink", python(SLEEP), ports={"metrics": 4711}))
    supervisor.wait_ready(60)

    read = read_status(tmp_path / "data")

    assert read is not None
    assert "ready" == read.state
    assert os.getpid() == read.supervisor_pid
    (sink,) = read.parts
    assert (one(supervisor, "sink").pid, {"metrics": 4711}, 0) == (sink.pid, dict(sink.ports), sink.restarts)
    assert sink.rss_bytes is not None and sink.rss_bytes > 1_000_000


def test_no_status_is_no_error(tmp_path: Path) -> None:
    """A folder without a stack, and a state file that is no JSON, are both simply no stack."""
    assert read_status(tmp_path) is None
    (tmp_path / "stack.json").write_text("{")
    assert read_status(tmp_path) is None
    assert not stop_running(tmp_path)


SUPERVISOR_PROGRAM = """
import sys, time
from pathlib import Path
from tradewire.operations.stack import Supervisor, command_part
folder = Path(sys.argv[1])
command = [sys.executable, "-S", "-c", sys.argv[2], *sys.argv[3:]]
parts = [command_part(name, command, log_file=folder / f"{name}.log", stop_timeout_s=600) for name in ("one", "two")]
Supervisor(parts, data_folder=folder / "data").run()
"""


@pytest.fixture
def other_stack(tmp_path: Path, eventually: Eventually) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Runs a supervisor of two parts in another process, as `tradewire up` does."""
    running: list[subprocess.Popen[bytes]] = []

    def start(text: str = SLEEP, *arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SUPERVISOR_PROGRAM, str(tmp_path), text, *map(str, arguments)]
        running.append(subprocess.Popen(command))

        def ready() -> bool:
            status = read_status(tmp_path / "data")
            return status is not None and status.state == "ready"

        eventually(ready)
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def pids(folder: Path) -> list[int]:
    parts = json.loads((folder / "data" / "stack.json").read_text())["parts"]
    return [part["pid"] for part in parts if part["pid"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_stack_in_an_orderly_way(
    tmp_path: Path,
    other_stack: Callable[..., subprocess.Popen[bytes]],
    eventually: Eventually,
    number: signal.Signals,
) -> None:
    """Ctrl-C, `kill` and a closed terminal mean the same: every part gets its SIGTERM, exit code 0."""
    ends, starts = tmp_path / "ends", tmp_path / "starts"
    supervisor = other_stack(POLITE, "polite", ends, starts)
    eventually(lambda: starts.exists() and len(starts.read_text().split()) == 2)
    children = pids(tmp_path)
    supervisor.send_signal(number)

    assert 0 == supervisor.wait(60)
    assert ["polite", "polite"] == ends.read_text().split()
    assert all(gone(pid) for pid in children)
    status = read_status(tmp_path / "data")
    assert status is not None and status.state == "stopped"


def test_a_second_signal_kills_what_does_not_end(
    tmp_path: Path, other_stack: Callable[..., subprocess.Popen[bytes]], eventually: Eventually
) -> None:
    """Deaf parts with ten minutes of patience are gone in a moment."""
    supervisor = other_stack(STUBBORN)
    eventually(lambda: all("deaf" in (tmp_path / f"{name}.log").read_text() for name in ("one", "two")))
    children = pids(tmp_path)
    supervisor.send_signal(signal.SIGINT)
    eventually(lambda: getattr(read_status(tmp_path / "data"), "state", None) == "stopping")
    supervisor.send_signal(signal.SIGINT)

    assert 0 == supervisor.wait(60)
    assert all(gone(pid) for pid in children)


def test_no_part_outlives_a_killed_supervisor(
    tmp_path: Path, other_stack: Callable[..., subprocess.Popen[bytes]], eventually: Eventually
) -> None:
    """kill -9 of the supervisor: the kernel ends its children, the folder is free, status says so."""
    supervisor = other_stack(STUBBORN)
    children = pids(tmp_path)
    assert 2 == len(children)
    supervisor.kill()
    supervisor.wait()

    eventually(lambda: all(gone(pid) for pid in children))
    assert not is_running(tmp_path / "data")
    status = read_status(tmp_path / "data")
    assert status is not None
    assert ("stopped", "the supervisor died") == (status.state, status.error)
    assert [None, None] == [part.pid for part in status.parts]


@pytest.mark.parametrize("kill", [False, True])
def test_down_ends_the_stack_of_another_terminal(
    tmp_path: Path, other_stack: Callable[..., subprocess.Popen[bytes]], kill: bool
) -> None:
    """`tradewire down` returns when nothing of the stack is left."""
    supervisor = other_stack()
    children = pids(tmp_path)

    assert stop_running(tmp_path / "data", kill=kill, timeout_s=60)

    assert not is_running(tmp_path / "data")
    assert all(gone(pid) for pid in children)
    assert 0 == supervisor.wait(60)
    assert not stop_running(tmp_path / "data")


def test_down_kills_what_a_dead_supervisor_left_behind_but_no_stranger(
    tmp_path: Path, other_stack: Callable[..., subprocess.Popen[bytes]], eventually: Eventually
) -> None:
    """The state file names processes by pid and start time: a pid given to somebody else is left alone."""
    other_stack().kill()
    data = tmp_path / "data"
    eventually(lambda: not is_running(data))
    with subprocess.Popen(python(SLEEP), start_new_session=True) as ours, subprocess.Popen(python(SLEEP)) as stranger:
        raw = json.loads((data / "stack.json").read_text())
        raw["parts"][0] |= {"pid": ours.pid, "created": psutil.Process(ours.pid).create_time()}
        raw["parts"][1] |= {"pid": stranger.pid, "created": psutil.Process(stranger.pid).create_time() - 3600}
        (data / "stack.json").write_text(json.dumps(raw))

        assert stop_running(data)

        assert -signal.SIGKILL == ours.wait(60)
        assert stranger.poll() is None
        stranger.kill()


def test_reset_deletes_a_stopped_stack_only(tmp_path: Path, supervise: Callable[..., Supervisor]) -> None:
    """Never under a running stack, and never a folder that no stack has used."""
    supervisor = supervise(part(tmp_path, "sink", python(SLEEP)))
    supervisor.wait_ready(60)
    (tmp_path / "data" / "kafka").mkdir()
    with pytest.raises(StackBusy):
        reset_data_folder(tmp_path / "data")
    supervisor.stop()
    stranger = tmp_path / "photos"
    stranger.mkdir()
    (stranger / "cat.jpg").touch()

    reset_data_folder(tmp_path / "data")
    with pytest.raises(PartFailed, match=r"not a data folder of the stack"):
        reset_data_folder(stranger)

    assert ["stack.lock"] == [entry.name for entry in (tmp_path / "data").iterdir()]
    assert (stranger / "cat.jpg").exists()


def test_a_child_started_in_a_thread_outlives_that_thread(tmp_path: Path, eventually: Eventually) -> None:
    """The kernel's parent is the thread that forked: without care each part would die with the thread of its start."""
    started: list[Child] = []
    log = tmp_path / "child.log"
    text = "import time; print('up', flush=True); time.sleep(600)"

    def start_and_leave() -> None:
        started.append(start_child(python(text), name="child", log_file=log))
        eventually(lambda: "up" in log.read_text())  # only now the kernel knows whose death to look for

    thread = threading.Thread(target=start_and_leave)
    thread.start()
    thread.join()
    (child,) = started

    assert child.wait(0.3) is None
    assert -signal.SIGKILL == child.kill()


def test_stop_reaches_the_whole_process_group(tmp_path: Path, eventually: Eventually) -> None:
    """A shell script that starts a program leaves no program behind."""
    pid_file = tmp_path / "pid"
    command = ["/bin/sh", "-c", f"sleep 600 & echo $! > {pid_file}; wait"]
    child = start_child(command, name="script", log_file=tmp_path / "log")
    eventually(lambda: pid_file.exists() and pid_file.read_text().strip())
    child.stop(5)

    eventually(lambda: gone(int(pid_file.read_text())))


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    """Before anything is forked."""
    with pytest.raises(PartFailed, match=r"registry cannot start: there is no program /no/such/java"):
        start_child(["/no/such/java"], name="registry", log_file=tmp_path / "log")


def test_the_log_of_an_earlier_run_is_not_quoted(tmp_path: Path) -> None:
    """Logs are appended to; an error must quote the run that failed."""
    log = tmp_path / "log"
    log.write_text("yesterday\n")
    child = start_child(python("print('java.net.BindException: Address already in use')"), name="x", log_file=log)

    with pytest.raises(PartFailed) as caught:
        wait_until_ready(child, lambda: "not there", timeout_s=60)
    assert "Likely cause: a port is taken" in str(caught.value)
    assert "yesterday" not in str(caught.value)
    assert "yesterday" in log.read_text()


def test_free_ports_are_never_ones_an_outgoing_connection_may_get() -> None:
    """A client that reconnects to a stopped server on loopback can otherwise take the port from it."""
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    ports = free_ports(50)

    assert 50 == len(set(ports))
    assert max(ports) < low


def test_pending_port_waits_for_a_listener() -> None:
    """The readiness of a part that only has to accept connections."""
    (port,) = free_ports(1)
    pending = pending_port("127.0.0.1", port)

    assert f"nothing listens on 127.0.0.1:{port}" == pending()
    with socket.create_server(("127.0.0.1", port)):
        assert pending() is None


@pytest.mark.parametrize(
    ("dependencies", "says"),
    [
        ({"a": ["b"], "b": ["a"]}, "circle"),
        ({"a": ["missing"]}, "part a depends on missing"),
    ],
)
def test_impossible_dependencies_are_refused(tmp_path: Path, dependencies: dict[str, list[str]], says: str) -> None:
    """Before anything is started."""
    parts = [part(tmp_path, name, ["x"], depends_on=needs) for name, needs in dependencies.items()]

    with pytest.raises(StackError, match=says):
        start_levels(parts)


def test_levels_put_every_part_after_what_it_needs(tmp_path: Path) -> None:
    """Independent parts share a level: they start and stop together."""
    needs = {"kafka": [], "registry": [], "topics": ["kafka", "registry"], "worker": ["topics"], "sink": ["topics"]}
    parts = [part(tmp_path, name, ["x"], depends_on=depends_on) for name, depends_on in needs.items()]

    assert (("kafka", "registry"), ("topics",), ("worker", "sink")) == start_levels(parts)


def test_delays_grow_to_a_ceiling_within_the_jitter() -> None:
    """No delay is ever longer than the ceiling plus its jitter, however often a part has died."""
    restarts = Restarts(delay_s_min=1, delay_s_max=30, jitter=0.2)

    for failures, expected in ((1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (10_000, 30)):
        assert expected * 0.8 <= restarts.delay_s(failures) <= expected * 1.2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (7.9, "7 s"), (187, "3 m 07 s"), (7500, "2 h 05 m"), (349_200, "4 d 01 h")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    """Two units are enough in a table."""
    assert text == duration(seconds)


def a_status(*parts: PartStatus, error: str | None = None) -> StackStatus:
    return StackStatus(
        state="failed" if error else "ready",
        supervisor_pid=1,
        supervisor_created=0.0,
        data_folder="/d",
        since=0.0,
        parts=parts,
        error=error,
    )


def test_the_table_shows_every_part_and_the_error() -> None:
    """One look answers what runs where, since when, how often it died, and why."""
    out = Console(file=io.StringIO(), width=80, record=True)
    sink = PartStatus(
        name="sink",
        state="backoff",
        pid=77,
        ports={"http": 8123},
        restarts=3,
        since=1000.0,
        note="[died]",
        rss_bytes=2**20,
    )
    out.print(status_table(a_status(sink, error="no [disk]"), now=1007.0))
    text = out.export_text()

    for expected in ("sink", "backoff", "77", "8123", "3", "7 s", "1 MiB", "[died]", "no [disk]"):
        assert expected in text


def test_without_a_terminal_each_change_is_one_line() -> None:
    """The output of `tradewire up` in a log file must not be a thousand tables."""
    text = io.StringIO()
    with live_table(Console(file=text, width=200)) as show:
        for _ in range(3):
            show(a_status(PartStatus(name="kafka", state="ready", pid=5)))
        show(a_status(PartStatus(name="kafka", state="backoff", restarts=1, note="killed")))

    assert ["kafka ready pid 5", "stack ready", "kafka backoff: killed"] == text.getvalue().splitlines()
