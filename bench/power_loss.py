"""What a disk may hold when the power goes: the writes of one admission, recorded with their bytes and replayed with losses.

The model: the content and mode of a file are on the disk up to its last fsync or fdatasync; the names in a folder up to the
last fsync of that folder (fsync of a new file does not keep its name). After every recorded call, and after every
acknowledgement, the store is made anew in each of these states, and asked what a crash is asked:

    strict    names and bytes, of everything only what was synced
    dropped   every name as it was in that moment, but no byte that was not synced: metadata went first
    half      every name, and the first half of what was not synced, the last write of it torn in the middle
    holes     every name, and every second write of what was not synced: the disk took them in another order
    even, odd the names of every second level of folders as they were in that moment, of the others as synced; no byte not
              synced

The recording must explain the folder as it is in the end, byte for byte, or nothing is replayed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crash_ground import Ground, Tally, admit, check, in_parallel, spread, traced

CALLS = (
    "open", "openat", "openat2", "creat", "lseek", "write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate",
    "truncate", "fallocate", "copy_file_range", "sendfile", "splice", "fsync", "fdatasync", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod",
    "fchmodat",
)  # fmt: skip
UMASK = 0o022
_LINE = re.compile(r"(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>)(.*)", re.DOTALL)
_DONE = re.compile(r"(.*)\) += (-?\d+)(.*)", re.DOTALL)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_PLACE = re.compile(r"<((?:\\x[0-9a-f]{2})*)>")


Change = tuple[str, int, bytes]
"""What was done to a file: `write` these bytes at an offset, `cut` (or stretch) it to a size, change its `mode`."""


@dataclass
class File:
    """A file: what the disk surely holds, how often it was synced, and the changes since, in order."""

    synced: bytes = b""
    synced_mode: int = 0o600
    syncs: int = 0
    changes: list[Change] = field(default_factory=list)

    def content(self, kept: list[Change]) -> tuple[bytes, int]:
        """Bytes and mode when only these changes reached the disk since the last sync."""
        data, mode = bytearray(self.synced), self.synced_mode
        for kind, number, new in kept:
            match kind:
                case "write":
                    data.extend(bytes(max(0, number - len(data))))
                    data[number : number + len(new)] = new
                case "cut":
                    data[number:] = bytes(max(0, number - len(data)))
                case "mode":
                    mode = number
        return bytes(data), mode

    def sync(self) -> None:
        self.synced, self.synced_mode = self.content(self.changes)
        self.changes = []
        self.syncs += 1


@dataclass
class Folder:
    """A folder: the names the disk surely holds, and the names as they are."""

    mode: int = 0o700
    synced: dict[str, File | Folder] = field(default_factory=dict)
    live: dict[str, File | Folder] = field(default_factory=dict)

    def sync(self) -> None:
        self.synced = dict(self.live)

    @classmethod
    def read(cls, path: Path) -> Folder:
        """A folder of the real disk, taken as synced."""
        folder = cls(mode=path.stat().st_mode & 0o777)
        for entry in path.iterdir():
            if entry.is_dir():
                folder.live[entry.name] = cls.read(entry)
            else:
                folder.live[entry.name] = File(entry.read_bytes(), entry.stat().st_mode & 0o777)
        folder.sync()
        return folder


def _half(changes: list[Change]) -> list[Change]:
    middle = len(changes) // 2
    torn = [(kind, at, data[: len(data) // 2]) for kind, at, data in changes[middle : middle + 1] if len(data) > 1]
    return changes[:middle] + torn


@dataclass(frozen=True)
class State:
    """What reached the disk: the names of a folder as they are in the moment or as synced, and which changes of a file."""

    is_live: Callable[[str], bool]
    keep: Callable[[list[Change]], list[Change]]


STATES = {
    "strict": State(lambda _: False, lambda _: []),
    "dropped": State(lambda _: True, lambda _: []),
    "half": State(lambda _: True, _half),
    "holes": State(lambda _: True, lambda changes: changes[1::2]),
    "even": State(lambda path: path.count("/") % 2 == 0, lambda _: []),
    "odd": State(lambda path: path.count("/") % 2 == 1, lambda _: []),
}
WHOLE = State(lambda _: True, list)


def walk(folder: Folder, state: State, path: str = "") -> Iterator[tuple[str, File | Folder]]:
    """Every path that a state has, folders before what is in them."""
    for name, entry in sorted((folder.live if state.is_live(path) else folder.synced).items()):
        yield f"{path}/{name}", entry
        if isinstance(entry, Folder):
            yield from walk(entry, state, f"{path}/{name}")


def fingerprint(root: Folder, state: State) -> int:
    """A number that differs where two states of one replay differ."""
    marks = []
    for path, entry in walk(root, state):
        kept = state.keep(entry.changes) if isinstance(entry, File) else []
        syncs = entry.syncs if isinstance(entry, File) else 0
        marks.append((path, id(entry), syncs, tuple((kind, number, len(data)) for kind, number, data in kept)))
    return hash(tuple(marks))


@dataclass(frozen=True)
class Call:
    """One call that strace saw, its arguments decoded: `texts` are strings, `places` the files behind descriptors."""

    name: str
    arguments: str
    texts: list[bytes]
    places: list[str]
    result: int
    result_place: str

    def numbers(self) -> list[str]:
        """The arguments that are no strings, as they stand."""
        return [part.strip() for part in re.sub(r'"[^"]*"', '""', self.arguments).split(",")]

    def flags(self) -> set[str]:
        return set(re.findall(r"O_[A-Z]+", self.arguments))

    def path(self, at: int = 0) -> str:
        """Of the calls that take paths, the one at `at`; below the folder of its descriptor where it is relative."""
        text = os.fsdecode(self.texts[at])
        return text if text.startswith("/") else f"{self.places[at]}/{text}"


def read_calls(log: Path) -> Iterator[Call]:
    """The calls of a recording in the order in which they ended; failed ones have changed nothing and are left out."""
    begun: dict[str, tuple[str, str]] = {}
    for line in log.read_text(encoding="ascii").splitlines():
        seen = _LINE.match(line)
        if seen is None:
            continue  # a signal, or the end of a process
        pid, name, resumed, rest = seen.groups()
        if rest.endswith("<unfinished ...>"):
            begun[pid] = (name, rest.removesuffix("<unfinished ...>"))
            continue
        if resumed:
            name, before = begun.pop(pid)
            rest = before + rest
        done = _DONE.fullmatch(rest)
        if done and int(done[2]) >= 0:
            yield _call(name, done[1], int(done[2]), done[3])


def _call(name: str, arguments: str, result: int, after: str) -> Call:
    texts = list(_TEXT.finditer(arguments))
    if any(text[2] for text in texts):
        raise SystemExit(f"the recording of {name} is cut short")
    return Call(
        name=name,
        arguments=arguments,
        texts=[_bytes(text[1]) for text in texts],
        places=[os.fsdecode(_bytes(place[1])) for place in _PLACE.finditer(arguments)],
        result=result,
        result_place="".join(os.fsdecode(_bytes(place[1])) for place in _PLACE.finditer(after)),
    )


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


class Disk:
    """The files below one place, as a sequence of calls leaves them. Calls about anything else change nothing."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.root = Folder.read(place)
        self._positions: dict[str, int] = {}

    def take(self, call: Call) -> str:
        """Make the change of one call and say where, or nothing when it changed nothing here."""
        paths = [call.result_place] if call.name in {"openat", "open"} else call.places[:1]
        if call.name in _NAMING:
            paths = [call.path(at) for at in range(len(call.texts))]
        inside = [path for path in paths if f"{path}/".startswith(f"{self.place}/") and not path.endswith(" (deleted)")]
        if not inside:
            return ""
        if len(inside) != len(paths):
            raise SystemExit(f"{call.name} moves something in or out of the store: {paths}")
        change = _CHANGES.get(call.name)
        if change is None:
            raise SystemExit(f"the replay does not know {call.name}({call.arguments[:200]})")
        changed = change(self, call, *(path.removeprefix(str(self.place)) for path in inside))
        return "" if changed is False else inside[0].removeprefix(str(self.place))

    def find(self, path: str) -> File | Folder:
        entry: File | Folder = self.root
        for part in path.split("/")[1:]:
            entry = entry.live[part]
        return entry

    def above(self, path: str) -> tuple[dict[str, File | Folder], str]:
        folder, _, name = path.rpartition("/")
        return (self.find(folder) if folder else self.root).live, name

    def require_same(self) -> None:
        """Compare with the real folder; the index of SQLite's log is written through a map, which no call shows."""
        told = dict(walk(self.root, WHOLE))
        there = {f"/{path.relative_to(self.place)}": path for path in self.place.rglob("*")}
        wrong = told.keys() ^ there.keys()
        for path in told.keys() & there.keys():
            entry = told[path]
            if isinstance(entry, File) and not path.endswith("-shm"):
                wrong |= {path} if entry.content(entry.changes)[0] != there[path].read_bytes() else set()
        if wrong:
            raise SystemExit(f"the recording does not explain {sorted(wrong)[:5]}")

    def open(self, call: Call, path: str) -> bool:
        self._positions[str(call.result)] = 0
        if not path:
            return False  # the place itself
        entries, name = self.above(path)
        if name in entries:
            file = entries[name]
            if "O_TRUNC" in call.flags() and isinstance(file, File):
                file.changes.append(("cut", 0, b""))
                return True
            return False
        if "O_CREAT" not in call.flags():
            raise SystemExit(f"{path} was opened and nothing had made it")
        entries[name] = File(synced_mode=int(call.numbers()[-1], 8) & ~UMASK)
        return True

    def seek(self, call: Call, _path: str) -> bool:
        self._positions[_descriptor(call)] = call.result
        return False

    def write(self, call: Call, path: str) -> None:
        data = b"".join(call.texts)[: call.result]
        at = int(call.numbers()[-1]) if call.name.startswith("p") else self._positions[_descriptor(call)]
        if not call.name.startswith("p"):
            self._positions[_descriptor(call)] = at + call.result
        self._file(path).changes.append(("write", at, data))

    def cut(self, call: Call, path: str) -> None:
        self._file(path).changes.append(("cut", int(call.numbers()[-1]), b""))

    def change_mode(self, call: Call, path: str) -> None:
        entry = self.find(path)
        mode = int(call.numbers()[-1], 8)
        if isinstance(entry, Folder):
            entry.mode = mode
        else:
            entry.changes.append(("mode", mode, b""))

    def sync(self, _call: Call, path: str) -> None:
        self.find(path).sync()

    def rename(self, call: Call, source: str, target: str) -> None:
        if "RENAME_" in call.arguments:
            raise SystemExit(f"the replay does not know {call.arguments[-80:]}")
        entries, name = self.above(source)
        moved = entries.pop(name)
        entries, name = self.above(target)
        entries[name] = moved

    def link(self, _call: Call, source: str, target: str) -> None:
        entries, name = self.above(target)
        entries[name] = self.find(source)

    def unlink(self, _call: Call, path: str) -> None:
        entries, name = self.above(path)
        del entries[name]

    def make_folder(self, call: Call, path: str) -> None:
        entries, name = self.above(path)
        entries[name] = Folder(mode=int(call.numbers()[-1], 8) & ~UMASK)

    def _file(self, path: str) -> File:
        entry = self.find(path)
        if not isinstance(entry, File):
            raise SystemExit(f"{path} is no file")
        return entry


_CHANGES: dict[str, Callable[..., bool | None]] = {
    "open": Disk.open, "openat": Disk.open, "lseek": Disk.seek, "write": Disk.write, "writev": Disk.write,
    "pwrite64": Disk.write, "ftruncate": Disk.cut, "fchmod": Disk.change_mode, "chmod": Disk.change_mode,
    "fchmodat": Disk.change_mode, "fsync": Disk.sync, "fdatasync": Disk.sync, "rename": Disk.rename, "renameat": Disk.rename,
    "renameat2": Disk.rename, "link": Disk.link, "linkat": Disk.link, "unlink": Disk.unlink, "unlinkat": Disk.unlink,
    "rmdir": Disk.unlink, "mkdir": Disk.make_folder, "mkdirat": Disk.make_folder,
}  # fmt: skip
_NAMING = {name for name in CALLS if name.startswith(("rename", "link", "unlink", "rmdir", "mkdir", "symlink"))}
_NAMING |= {"chmod", "fchmodat", "truncate", "creat"}


def _descriptor(call: Call) -> str:
    return call.arguments.partition("<")[0]


def record(ground: Ground, place: Path) -> list[Call]:
    """Admit in `place` under strace; every call that may change a file, and the lines that told of the decision."""
    log = place.with_suffix(".strace")
    options = ["-f", "-y", "-xx", "-s", str(1 << 26), "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
    told = traced(lambda tell: admit(place, ground.model, tell), options)
    if "done" not in told:
        raise SystemExit(f"the recorded admission failed: {told}")
    calls = list(read_calls(log))
    log.unlink()
    return calls


def acknowledgement(call: Call) -> str:
    """The digest of the decision that this call told of, or nothing."""
    told = (
        re.match(rb'\{"acknowledged": "([0-9a-f]{64})"\}', call.texts[0])
        if call.name == "write" and call.texts
        else None
    )
    return told[1].decode() if told else ""


Point = tuple[int, str, str, Disk, set[str]]


def points(ground: Ground, place: Path, calls: list[Call]) -> Iterator[Point]:
    """Every state that equals no earlier one: the number of the change before it, where, which, the disk, what was told.

    The disk goes on changing: whoever wants a state materialises it before asking for the next.
    """
    disk = Disk(ground.fresh(place.name))
    acknowledged = set(ground.acknowledged)
    seen: set[tuple[int, int]] = set()
    changes = 0
    for call in calls:
        told = acknowledgement(call)
        where = "the decision is told" if told else disk.take(call)
        changes += bool(where)
        acknowledged |= {told} - {""}
        for name, state in STATES.items() if where else ():
            mark = (fingerprint(disk.root, state), len(acknowledged))
            if mark not in seen:
                seen.add(mark)
                yield changes, f"change {changes}, after {call.name} {where}", name, disk, set(acknowledged)


def materialise(place: Path, disk: Disk, state: State) -> None:
    """Make the folder anew as a state has it."""
    shutil.rmtree(place)
    place.mkdir()
    for path, entry in walk(disk.root, state):
        target = place / path.lstrip("/")
        if isinstance(entry, Folder):
            target.mkdir()
            mode = entry.mode
        else:
            data, mode = entry.content(state.keep(entry.changes))
            target.write_bytes(data)
        target.chmod(mode)


def replay(ground: Ground, limit: int | None = None, jobs: int = 2, piece: slice = slice(None)) -> Tally:
    """Record one admission and look at every state that a power loss may leave, or at `limit` of them, spread evenly."""

    def work(index: int) -> list[tuple[str, str, list[str]]]:
        # Each job records for itself, because a store notes its own path; of the changes, each looks at its share.
        place = ground.fresh(f"power-{index}")
        calls = record(ground, place)
        _require_explained(ground, place, calls)
        mine = [number for number, point in enumerate(points(ground, place, calls)) if point[0] % jobs == index]
        share = None if limit is None else min(len(mine), (limit + jobs - 1 - index) // jobs)
        wanted = set(spread(mine, share)[piece])
        done = []
        for number, (_, where, state, disk, acknowledged) in enumerate(points(ground, place, calls)):
            if number in wanted:
                materialise(place, disk, STATES[state])
                known, problems = check(place, ground, acknowledged)
                outcome = "with" if known > len(ground.acknowledged) else "without"
                done.append((f"{ground.name}, {where}, {state}", f"{outcome} the decision", problems))
        return done

    tally = Tally()
    for results in in_parallel(jobs, work):
        for where, outcome, problems in results:
            tally.note(where, outcome, problems)
    return tally


def _require_explained(ground: Ground, place: Path, calls: list[Call]) -> None:
    kept = place.with_name(f"{place.name}-kept")
    shutil.rmtree(kept, ignore_errors=True)
    place.rename(kept)
    disk = Disk(ground.fresh(place.name))
    for call in calls:
        disk.take(call)
    shutil.rmtree(place)
    kept.rename(place)
    disk.require_same()
