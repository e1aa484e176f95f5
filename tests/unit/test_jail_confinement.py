"""The jail as its callers see it: answers, every way of stopping, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weighbridge.errors import JailError
from weighbridge.jail.confinement import Completed, Jail, Job, Limits, Stopped, StopReason

TASKS = "weighbridge.testing.hostile_tasks:"
QUICK = Limits(wall_s=10, answer_bytes=1 << 20, memory_bytes=96 << 20)


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    with Jail(QUICK) as jail:
        yield jail


def ask(jail: Jail, task: str, *, fd: int | None = None, **arguments: object) -> Completed | Stopped:
    return jail.call(TASKS + task, fd=fd, arguments=arguments)


def stopped(result: Completed | Stopped) -> StopReason:
    assert isinstance(result, Stopped), result
    return result.reason


def is_well(jail: Jail) -> bool:
    result = ask(jail, "echo", still="well")
    return isinstance(result, Completed) and json.loads(result.value)["arguments"] == {"still": "well"}


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[str]:
    """Children of this thread; other tests of the process may have left multiprocessing's resource tracker."""
    every = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return [pid for pid in every if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_over(pid: int) -> bool:
    """Whether a process ends within 5 s: it is gone, or only its exit status waits to be fetched."""
    for _ in range(250):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False


def test_a_task_reads_the_file_it_was_given(jail: Jail, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\x00\xffbytes")
    with (tmp_path / "weights").open("rb") as stream:
        result = ask(jail, "echo", fd=stream.fileno(), name="weights")
        assert isinstance(result, Completed)
        assert json.loads(result.value) == {"arguments": {"name": "weights"}, "head": "\x00\xffbytes"}
        os.fstat(stream.fileno())  # it stays the caller's


def test_bytes_come_back_as_they_are(jail: Jail) -> None:
    assert ask(jail, "answer_much", size_bytes=1 << 20) == Completed(value=b"x" * (1 << 20))


@pytest.mark.parametrize(
    ("task", "arguments", "reason", "detail"),
    [
        ("crash", {}, StopReason.CRASHED, "SIGSEGV"),
        ("leave", {"status": 0}, StopReason.CRASHED, "exit status 0"),
        ("leave", {"status": 7}, StopReason.CRASHED, "exit status 7"),
        ("leave_politely", {}, StopReason.CRASHED, "exit status 0"),
        ("raise_unshowable", {}, StopReason.CRASHED, "exit status 1"),
        ("eat_memory", {"size_bytes": 1 << 30}, StopReason.OUT_OF_MEMORY, "100663296 bytes"),
        ("answer_much", {"size_bytes": 1 << 30}, StopReason.OUT_OF_MEMORY, "100663296 bytes"),
        ("answer_much", {"size_bytes": (1 << 20) + 1}, StopReason.OVERSIZED, "1048577 bytes"),
        ("write_garbage", {"hex": "ff" * 64}, StopReason.GARBLED, "no job"),
        ("close_pipe", {}, StopReason.GARBLED, "closed its pipe"),
        ("raise_text", {"text": "bad\x1b[2J"}, StopReason.RAISED, "ValueError: bad\\x1b[2J"),
        ("recurse", {}, StopReason.RAISED, "RecursionError"),
    ],
)
def test_every_way_of_stopping_has_its_reason(
    jail: Jail, task: str, arguments: dict[str, object], reason: StopReason, detail: str
) -> None:
    result = ask(jail, task, **arguments)
    assert stopped(result) is reason
    assert isinstance(result, Stopped)
    assert detail in result.detail
    assert is_well(jail)


@pytest.mark.parametrize("task", ["loop", "ignore_signals"])
def test_a_task_that_never_ends_is_killed(task: str) -> None:
    with Jail(Limits(wall_s=0.3)) as jail:
        assert is_well(jail)
        begun = time.monotonic()
        assert stopped(ask(jail, task)) is StopReason.TIMED_OUT
        assert time.monotonic() - begun < 3
        assert is_well(jail)


def test_a_task_that_sleeps_is_killed_too() -> None:
    with Jail(Limits(wall_s=0.3)) as jail:
        assert stopped(ask(jail, "sleep", seconds=60)) is StopReason.TIMED_OUT


def test_processor_time_is_limited_for_each_job() -> None:
    with Jail(Limits(wall_s=30, cpu_s=0)) as jail:
        assert stopped(ask(jail, "loop")) is StopReason.OUT_OF_CPU
        assert is_well(jail)


FORGED = (1).to_bytes(8, "big") + b"V" + (2).to_bytes(4, "big") + b"{}"


def test_an_answer_cannot_be_followed_by_another(jail: Jail) -> None:
    jail.close()
    assert stopped(ask(jail, "write_garbage", hex=(FORGED + FORGED).hex())) is StopReason.GARBLED
    assert is_well(jail)


def test_a_job_may_lie_about_itself_but_never_answers_for_the_next(jail: Jail) -> None:
    jail.close()
    jail.warm(TASKS + "write_garbage", TASKS + "echo")
    first = ask(jail, "write_garbage", hex=FORGED.hex())
    if isinstance(first, Completed):  # its true answer came later and is taken for garbage then
        time.sleep(0.2)
        assert first.value == b"{}"
        assert stopped(ask(jail, "echo")) is StopReason.GARBLED
    assert is_well(jail)


@pytest.mark.parametrize(
    ("kind", "body"), [(b"Z", b"{}"), (b"E", b"not json"), (b"E", b"[" * 5000), (b"E", b'{"type": 1}')]
)
def test_forged_answers_are_not_believed(jail: Jail, kind: bytes, body: bytes) -> None:
    jail.close()
    forged = (1).to_bytes(8, "big") + kind + len(body).to_bytes(4, "big") + body
    assert stopped(ask(jail, "write_garbage", hex=forged.hex())) in (StopReason.GARBLED, StopReason.RAISED)
    jail.close()
    assert is_well(jail)


def test_many_jobs_keep_their_order_around_one_that_crashes(tmp_path: Path) -> None:
    opened = []

    def opener(name: str) -> Callable[[], int]:
        (tmp_path / name).write_text(name)

        def open_fd() -> int:
            opened.append(os.open(tmp_path / name, os.O_RDONLY))
            return opened[-1]

        return open_fd

    names = [f"{number:03}" for number in range(60)]
    with Jail(QUICK) as jail:
        before = open_descriptors()
        jobs = (Job(arguments={"dies": name in ("017", "018", "059")}, open_fd=opener(name)) for name in names)
        results = list(jail.call_many(TASKS + "echo_or_die", jobs))
    shown = [json.loads(r.value) if isinstance(r, Completed) else r.reason for r in results]
    assert shown == [StopReason.CRASHED if name in ("017", "018", "059") else name for name in names]
    assert open_descriptors() == before
    assert 60 < len(opened) < 60 + 3 * 8  # what was sent ahead of a crash is sent again


def test_jobs_left_unasked_do_not_answer_for_later_ones(jail: Jail) -> None:
    answers = jail.call_many(TASKS + "echo", (Job(arguments={"n": n}) for n in range(100)))
    assert isinstance(next(answers), Completed)
    answers.close()
    assert is_well(jail)


def test_many_large_jobs_do_not_block_each_other(jail: Jail) -> None:
    text = "\u0001" * 20_000
    jobs = [Job(arguments={"text": text}) for _ in range(30)]
    results = list(jail.call_many(TASKS + "echo", jobs))
    assert len(results) == 30
    assert all(isinstance(result, Completed) for result in results)


def test_what_a_task_prints_is_not_part_of_its_answer(jail: Jail) -> None:
    assert ask(jail, "print_aloud") == Completed(value=b'"printed"')


def test_an_exception_keeps_the_child(jail: Jail) -> None:
    jail.warm(TASKS + "echo", TASKS + "raise_text")
    assert is_well(jail)
    before = children()
    assert stopped(ask(jail, "raise_text", text="once")) is StopReason.RAISED
    assert is_well(jail)
    assert children() == before


def test_fresh_gives_a_child_that_served_nobody_and_serves_nobody_after(jail: Jail) -> None:
    assert is_well(jail)
    first = children()
    with jail.fresh():
        assert is_well(jail)
        second = children()
        assert is_well(jail)
        assert children() == second
    assert children() == []
    assert is_well(jail)
    assert len({*first, *second, *children()}) == 3


def test_fresh_uses_a_warm_child_that_had_no_job() -> None:
    with Jail() as jail:
        before = set(children())
        jail.warm(TASKS + "echo")
        warm = set(children())
        assert len(warm - before) == 1
        with jail.fresh():
            assert is_well(jail)
            assert set(children()) == warm


def test_a_child_killed_between_two_jobs_is_replaced(jail: Jail) -> None:
    assert is_well(jail)
    [victim] = map(int, children())
    os.kill(victim, signal.SIGKILL)
    assert is_over(victim)
    assert is_well(jail)


def test_a_child_killed_while_it_works_has_crashed(jail: Jail) -> None:
    assert ask(jail, "sleep", seconds=0) == Completed(value=b"null")
    [victim] = map(int, children())
    threading.Timer(0.2, os.kill, (victim, signal.SIGKILL)).start()
    result = ask(jail, "sleep", seconds=30)
    assert isinstance(result, Stopped)
    assert (result.reason, result.detail[:7]) == (StopReason.CRASHED, "SIGKILL")


def test_another_thread_gets_a_child_of_its_own(jail: Jail) -> None:
    outcomes: list[bool] = []
    thread = threading.Thread(target=lambda: outcomes.append(is_well(jail)))
    thread.start()
    thread.join()
    assert outcomes == [True]
    assert is_well(jail)


def test_two_hundred_jobs_leave_no_descriptor_and_no_zombie(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    before, born_before = open_descriptors(), children()
    with (tmp_path / "file").open("rb") as stream, Jail(QUICK) as jail:
        for number in range(200):
            assert isinstance(ask(jail, "echo", fd=stream.fileno(), n=number), Completed)
        listed = ask(jail, "list_descriptors", fd=stream.fileno())
        assert isinstance(listed, Completed)
        assert len(json.loads(listed.value)) <= 1  # pipes and sockets cannot be sought in
        for _ in range(5):
            assert stopped(ask(jail, "leave")) is StopReason.CRASHED
    assert open_descriptors() == before
    assert children() == born_before


def test_a_task_that_is_not_there_is_said_at_once() -> None:
    before = children()
    with Jail() as jail, pytest.raises(JailError, match=r"ModuleNotFoundError: No module named 'weighbridge\.nowhere'"):
        jail.call("weighbridge.nowhere:task", arguments={})
    assert children() == before


def test_a_module_that_leaves_while_it_is_imported_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "leaving_tasks.py").write_text("import sys; sys.exit('good bye')")
    with Jail(import_path=(str(tmp_path),)) as jail, pytest.raises(JailError, match="did not start: good bye"):
        jail.call("leaving_tasks:task", arguments={})


def test_prepare_is_called_before_the_lockdown(tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text("read before")
    (tmp_path / "prepared_tasks.py").write_text(
        "from pathlib import Path\nSEEN = []\n"
        "def prepare(): SEEN.append(Path(__file__).with_name('table.txt').read_text())\n"
        "def task(fd, arguments): return SEEN\n"
    )
    with Jail(import_path=(str(tmp_path),)) as jail:
        assert jail.call("prepared_tasks:task", arguments={}) == Completed(value=b'["read before"]')


def test_a_start_that_hangs_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "hanging_tasks.py").write_text("import time; time.sleep(60)")
    before = children()
    late = pytest.raises(JailError, match=r"no answer within 0\.5 s")
    with Jail(Limits(start_s=0.5), import_path=(str(tmp_path),)) as jail, late:
        jail.call("hanging_tasks:task", arguments={})
    assert children() == before


PARENT = """
import os, sys
from weighbridge.jail.confinement import Jail
SLEEP = "weighbridge.testing.hostile_tasks:sleep"
with Jail() as jail:
    jail.call(SLEEP, arguments={"seconds": 0})
    print(open(f"/proc/self/task/{os.getpid()}/children").read(), flush=True)
    jail.call(SLEEP, arguments={"seconds": 60}) if sys.argv[1] == "busy" else input()
"""


@pytest.mark.parametrize("state", ["busy", "idle"])
def test_the_child_dies_with_its_parent(state: str) -> None:
    command = [sys.executable, "-c", PARENT, state]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    assert is_over(child)
