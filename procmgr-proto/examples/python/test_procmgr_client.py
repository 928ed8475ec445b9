"""Tests of procmgr_client.py and procmgr_cli.py.

They need the test vectors of the protocol, which are found in a folder `vectors` beside or above
this file (or where PROCMGR_VECTORS says), and the executable of procmgr, which is found in the PATH
(or where PROCMGR says).  Each daemon has a temporary folder and a socket of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from unittest import mock

import procmgr_cli
import procmgr_client as pm
from procmgr_client import (Changed, Client, Code, Done, ExitKind, ExitStatus, Exited, Fault,
                            Frame, FrameBuffer, InspectedProgram, Inspected, Invoke, Kind,
                            ListedProgram, PastExit, Permission, Permitted, Ping, PreviewedProgram,
                            Previewed, Programs, ProgramStatus, Refusal, Refused, Reloaded,
                            Requester, Status, Subscribed)

PATIENCE = 60.0
"""How many seconds a test waits for what has to happen soon."""

HERE = Path(__file__).resolve().parent
CLI = [sys.executable, "-S", str(HERE / "procmgr_cli.py")]
"""The command line; Python starts faster without its site packages."""

NULL = os.open(os.devnull, os.O_RDWR)
EXECUTABLE = shutil.which(os.environ.get("PROCMGR", "procmgr")) or ""


def setUpModule() -> None:
    """Fail at once, and say why, if there is nothing to test against."""
    if not EXECUTABLE:
        raise RuntimeError("procmgr is not in the PATH: name the executable by PROCMGR=/path/to/it")


def vectors(name: str) -> List[Tuple[List[str], bytes]]:
    """Return the lines of a file of test vectors: the words ahead of the `=`, and the bytes."""
    named = os.environ.get("PROCMGR_VECTORS")
    folders = [Path(named)] if named else [folder / "vectors" for folder in HERE.parents]
    path = next(folder / name for folder in folders if (folder / name).exists())
    lines = (line.partition("=") for line in path.read_text("ascii").splitlines()
             if line and not line.startswith("#"))
    return [(words.split(), bytes.fromhex(digits)) for words, _, digits in lines]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition holds, and return what it has returned."""
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} has not happened in time")
        time.sleep(0.005)


def read_all(descriptor: int) -> bytes:
    """Read until the end, and close the descriptor."""
    with open(descriptor, "rb") as file:
        return file.read()


# --- Daemons to test against ---------------------------------------------------------------------

SLEEP = "exec sleep 1000 >/dev/null 2>&1"
STUBBORN = f"cmd-start = {SLEEP}\ncmd-stop = :"
"""The lines of a program that does not end when it is to end."""


class Daemon:
    """A daemon in the foreground with a folder of its own."""

    def __init__(self, programs: str, open_files: Optional[int] = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="procmgr-test-")
        os.chmod(self.folder, 0o755)
        self.socket = os.path.join(self.folder, "socket")
        self.configuration = os.path.join(self.folder, "procmgr.cfg")
        self.configure(programs)

        def limit() -> None:
            if open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

        self.process = subprocess.Popen(
            [EXECUTABLE, "-d", "-f", "-c", self.configuration], cwd=self.folder, preexec_fn=limit,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pids: List[int] = []
        wait_for(self._answers, "the start of the daemon")

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon has ended with {self.process.returncode}")
        try:
            with Client(self.socket) as client:
                client.ping(PATIENCE)
            return True
        except (pm.NoDaemon, pm.ConnectionLost):
            return False

    def configure(self, programs: str) -> None:
        """Write the configuration file."""
        with open(self.configuration, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"socket-path = {self.socket}\nallow-uid = {os.geteuid()}\n\n{programs}\n")
        os.chmod(self.configuration, 0o600)

    def note_pids(self) -> None:
        """Note the programs that run, as they outlive the daemon."""
        with Client(self.socket) as client:
            programs = client.subscribe(PATIENCE).programs
            self.pids += [program.pid for program in programs if program.pid is not None]

    def close(self) -> None:
        """End the daemon and all of its programs, however it is."""
        if self.process.poll() is None:
            with contextlib.suppress(pm.ProcmgrError):
                self.note_pids()
            self.process.kill()
            self.process.wait()
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder)


class DaemonTest(unittest.TestCase):
    """The base of tests with a real daemon; `PROGRAMS` is its configuration."""

    PROGRAMS = ""

    def setUp(self) -> None:
        self.daemon = self.start_daemon(self.PROGRAMS)
        self.client = self.connect()

    def start_daemon(self, programs: str, open_files: Optional[int] = None) -> Daemon:
        daemon = Daemon(programs, open_files)
        self.addCleanup(daemon.close)
        return daemon

    def connect(self, daemon: Optional[Daemon] = None) -> Client:
        client = Client((daemon or self.daemon).socket)
        self.addCleanup(client.close)
        return client

    def invoke(self, program: bytes, action: bytes, *arguments: bytes) -> Any:
        return self.client.invoke(program, action, arguments, NULL, NULL, NULL, PATIENCE)

    def begin(self, program: bytes, action: bytes) -> int:
        return self.client.begin(Invoke(program, action, ()), (NULL, NULL, NULL), PATIENCE)

    @contextlib.contextmanager
    def refused(self, code: bytes) -> Iterator[None]:
        with self.assertRaises(Refusal) as context:
            yield
        self.assertEqual(context.exception.code, code)
        self.assertEqual(context.exception.version, 1)

    def tokens(self, program: bytes) -> Tuple[bytes, ...]:
        """Return what another client is told about a program by `list`."""
        with Client(self.daemon.socket) as client:
            return {listed.name: listed.tokens for listed in client.list(PATIENCE)}[program]

    def pid(self, program: bytes) -> int:
        """Return the PID of a program that runs."""
        with Client(self.daemon.socket) as client:
            programs = client.subscribe(PATIENCE).programs
        pid = {status.name: status.pid for status in programs}[program]
        assert pid is not None
        return pid


# --- Messages ------------------------------------------------------------------------------------

def refused(code: bytes, text: bytes) -> Refused:
    return Refused(code, text)


def exited(kind: ExitKind, number: int) -> Exited:
    return Exited(ExitStatus(kind, number))


def changed(time: int, name: bytes, state: bytes, pid: Optional[int] = None,
            marks: Tuple[bytes, ...] = (), ended: Optional[ExitStatus] = None,
            failure: Optional[bytes] = None, by: Optional[Requester] = None) -> Changed:
    return Changed(time, ProgramStatus(name, state, pid, marks), ended, failure, by)


CODE_0 = ExitStatus(ExitKind.EXITED, 0)
SIGNAL_15 = ExitStatus(ExitKind.KILLED, 15)

FRAMES: Dict[str, pm.Message] = {
    "request/ping": Ping(),
    "request/list": pm.List(),
    "request/stop": pm.Stop(),
    "request/reload": pm.Reload(),
    "request/invoke": Invoke(b"game", b"start", (b"level-1",)),
    "request/invoke/no-arguments": Invoke(b"game", b"stop", ()),
    "request/invoke/odd-bytes": Invoke(b"\xff", b"signal", (b"-x", b"", b"\xc3\xbc", b"a\nb\x1b")),
    "request/invoke/empty": Invoke(b"", b"", ()),
    "request/subscribe": pm.Subscribe(),
    "request/upgrade": pm.Upgrade(),
    "request/inspect": pm.Inspect(),
    "request/preview": pm.Preview(),
    "request/permissions": pm.Permissions(),
    "response/refused/noprog": refused(b"NOPROG", b"there is no program gane"),
    "response/refused/noaction": refused(b"NOACTION", b"there is no action strat"),
    "response/refused/badauth": refused(b"BADAUTH", b"you may not stop game"),
    "response/refused/eperm": refused(
        b"EPERM", b"only root and the user of the daemon may stop or reload it"),
    "response/refused/busy": refused(b"BUSY", b"game is running"),
    "response/refused/notrunning": refused(b"NOTRUNNING", b"game is not running"),
    "response/refused/nocmd": refused(b"NOCMD", b"game has no script for start"),
    "response/refused/badmsg": refused(b"BADMSG", b""),
    "response/refused/badcmd": refused(b"BADCMD", b"there is no message of number 1000000"),
    "response/refused/spawn": refused(b"SPAWN", b"cannot run start of game: no such folder"),
    "response/refused/cancelled": refused(b"CANCELLED", b"game was stopped meanwhile"),
    "response/refused/badconf": refused(
        b"BADCONF", b"2 errors in f\nf:1:2: error: a\nf:3:4: error: \xc2\xb5\xff\x1b"),
    "response/refused/version": refused(
        b"VERSION", b"version 9 is not known here, 1 is the highest one"),
    "response/refused/limit": refused(b"LIMIT", b"too many of your requests are under way"),
    "response/refused/shutdown": refused(b"SHUTDOWN", b"the daemon ends before this is done"),
    "response/refused/later": refused(b"MOON\xff", b"full"),
    "response/refused/connection": refused(b"LIMIT", b"you have too many connections"),
    "response/refused/version-2": refused(b"VERSION", b"no"),
    "response/done": Done(),
    "response/exited/code-0": exited(ExitKind.EXITED, 0),
    "response/exited/code-255": exited(ExitKind.EXITED, 255),
    "response/exited/signal-15": exited(ExitKind.KILLED, 15),
    "response/exited/unknown": exited(ExitKind.UNKNOWN, 0),
    "response/status/not-running": Status(False),
    "response/status/running": Status(True),
    "response/programs/none": Programs(()),
    "response/programs": Programs((
        ListedProgram(b"web", (b"running", b"outdated")), ListedProgram(b"\xfe", (b"dead",)),
        ListedProgram(b"x", ()))),
    "response/reloaded/silent": Reloaded(()),
    "response/reloaded": Reloaded((b"f:1:2: warning: a", b"b")),
    "response/subscribed/none": Subscribed(()),
    "response/subscribed": Subscribed((
        ProgramStatus(b"web", b"running", 168496141, (b"outdated",)),
        ProgramStatus(b"game", b"down", None, ()))),
    "response/subscribed/states": Subscribed((
        ProgramStatus(b"a", b"down", None, ()), ProgramStatus(b"b", b"starting", None, ()),
        ProgramStatus(b"c", b"running", 1, ()), ProgramStatus(b"d", b"stopping", 2, ()),
        ProgramStatus(b"e", b"restarting", 3, (b"lingering", b"outdated")),
        ProgramStatus(b"f", b"back-off", None, ()),
        ProgramStatus(b"g", b"moon", 4294967295, (b"blue",)))),
    "response/inspected/none": Inspected(()),
    "response/inspected": Inspected((
        InspectedProgram(ProgramStatus(b"web", b"running", 4711, ()), 1772357400125, 2,
                         PastExit(ExitStatus(ExitKind.KILLED, 9), 1772357395120), None),
        InspectedProgram(ProgramStatus(b"game", b"back-off", None, ()), None, 3,
                         PastExit(ExitStatus(ExitKind.EXITED, 1), 1772357401000), 1772357409000))),
    "response/inspected/everything": Inspected((
        InspectedProgram(ProgramStatus(b"\xff", b"moon", 4294967295, (b"lingering", b"failed")),
                         18446744073709551615, 168496141,
                         PastExit(ExitStatus(ExitKind.EXITED, 255), 72623859790382856), 0),
        InspectedProgram(ProgramStatus(b"new", b"down", None, ()), None, 0, None, None),
        InspectedProgram(ProgramStatus(b"db", b"down", None, (b"failed",)), None, 5,
                         PastExit(ExitStatus(ExitKind.EXITED, 127), 1), None))),
    "response/previewed/none": Previewed((), ()),
    "response/previewed": Previewed((
        PreviewedProgram(b"web", b"changed", (b"cmd-start", b"cwd"), 4711, True),
        PreviewedProgram(b"game", b"added", (), None, False)), (b"f:1:2: warning: a",)),
    "response/previewed/effects": Previewed((
        PreviewedProgram(b"a", b"unchanged", (), 1, True),
        PreviewedProgram(b"b", b"changed", (b"uid-\xff",), None, False),
        PreviewedProgram(b"c", b"removed", (), 4294967295, True),
        PreviewedProgram(b"d", b"removed", (), None, False),
        PreviewedProgram(b"e", b"moon", (b"",), None, False)), (b"", b"\x1b")),
    "response/permissions/none": Permitted(()),
    "response/permissions": Permitted((
        Permission(b"web", (b"start", b"stop", b"backup")), Permission(b"game", (b"status",)))),
    "response/permissions/odd-bytes": Permitted((
        Permission(b"\xff", (b"a\nb",)), Permission(b"", (b"",)))),
    "later/exited": Exited(pm.UNKNOWN_EXIT),
    "later/exited/greatest": Exited(pm.UNKNOWN_EXIT),
    "later/exited/with-byte": Exited(pm.UNKNOWN_EXIT),
    "event/changed/nothing": changed(0, b"", b"down"),
    "event/changed": changed(
        1772357400125, b"web", b"starting", None, (b"outdated",), SIGNAL_15, None,
        Requester(934, 1000, 100)),
    "event/changed/everything": changed(
        72623859790382856, b"web", b"running", 168496141, (b"lingering", b"outdated"),
        ExitStatus(ExitKind.EXITED, 3), b"no\xff", Requester(287454020, 1432778632, 2578103244)),
    "event/changed/down": changed(
        1, b"web", b"down", failure=b"no such folder", by=Requester(0, 1000, 100)),
    "event/changed/running": changed(2, b"web", b"running", 7),
    "event/changed/stopping": changed(3, b"web", b"stopping", 7, by=Requester(934, 0, 0)),
    "event/changed/restarting": changed(4, b"web", b"restarting", 7, by=Requester(934, 1000, 100)),
    "event/changed/back-off": changed(
        5, b"web", b"back-off", ended=ExitStatus(ExitKind.EXITED, 1)),
    "event/changed/removed": changed(6, b"web", b"removed", ended=CODE_0),
    "event/changed/later": changed(7, b"web", b"moon"),
}
"""What each frame of frames.txt says."""

ID = 0x04030201
IDS = {"response/refused/connection": 0}
VERSIONS = {"response/refused/version-2": 2}


class FramesTest(unittest.TestCase):
    """The frames of frames.txt, in both directions."""

    def frames(self) -> Iterator[Tuple[str, bytes]]:
        for (name,), data in vectors("frames.txt"):
            with self.subTest(name):
                yield name, data

    def test_all_frames_are_known(self) -> None:
        self.assertEqual({name for (name,), _ in vectors("frames.txt")}, set(FRAMES))

    def test_decode(self) -> None:
        for name, data in self.frames():
            frame = pm.decode(data)
            message = FRAMES[name]
            self.assertEqual(frame.message(), message)
            self.assertEqual(frame.kind, message.KIND)
            self.assertEqual(frame.number, message.NUMBER)
            self.assertEqual(frame.descriptors, message.DESCRIPTORS)
            self.assertEqual((frame.id, frame.version), (IDS.get(name, ID), VERSIONS.get(name, 1)))

    def test_encode(self) -> None:
        for name, data in self.frames():
            if not name.startswith("later"):
                encoded = pm.encode(FRAMES[name], IDS.get(name, ID), VERSIONS.get(name, 1))
                self.assertEqual(encoded, data)
            self.assertEqual(pm.decode(data).encode(), data)

    def test_body_cut_or_longer(self) -> None:
        for _, data in self.frames():
            frame = pm.decode(data)
            bodies = [frame.body[:end] for end in range(len(frame.body))] + [frame.body + b"\0"]
            for body in bodies:
                with self.assertRaises(pm.FrameError) as context:
                    Frame(frame.kind, frame.id, body).message()
                self.assertIs(context.exception.fault, Fault.MALFORMED)

    def test_stream_in_pieces_of_any_size(self) -> None:
        frames = [data for _, data in vectors("frames.txt")]
        stream = b"".join(frames)
        for size in (1, 7, 16, 1000, len(stream)):
            buffer, found = FrameBuffer(), []
            for start in range(0, len(stream), size):
                buffer.feed(stream[start:start + size])
                while True:
                    frame = buffer.next()
                    if frame is None:
                        break
                    found.append(frame.encode())
            self.assertEqual(found, frames)
            self.assertEqual(buffer.pending(), 0)

    def test_frame_cut(self) -> None:
        for _, data in self.frames():
            for end in range(len(data)):
                with self.assertRaises(pm.FrameError) as context:
                    pm.decode(data[:end])
                self.assertIs(context.exception.fault, Fault.SHORT)


class HostileFramesTest(unittest.TestCase):
    """The frames of hostile.txt, as a reader finds them."""

    def test_decode(self) -> None:
        for (name, error, *_), data in vectors("hostile.txt"):
            with self.subTest(name):
                if error == "none":
                    frame = pm.decode(data)
                    if frame.version == pm.VERSION:
                        frame.message()
                else:
                    with self.assertRaises(pm.FrameError) as context:
                        pm.decode(data).message()
                    self.assertEqual(context.exception.fault, Fault(error))


class EncodingTest(unittest.TestCase):
    """What is not in the vectors."""

    def test_body_of_the_greatest_length(self) -> None:
        overhead = len(Frame.of(Invoke(b"", b"", (b"",)), 1).body)
        message = Invoke(b"", b"", (bytes(pm.MAXIMUM_LENGTH - overhead),))
        self.assertEqual(pm.decode(pm.encode(message, 1)).message(), message)
        with self.assertRaises(pm.FrameError) as context:
            pm.encode(Invoke(b"x", b"", message.arguments), 1)
        self.assertIs(context.exception.fault, Fault.LENGTH)

    def test_texts_are_bytes(self) -> None:
        name: Any = "web"
        with self.assertRaises(TypeError):
            pm.encode(Invoke(name, b"start", ()), 1)

    def test_something_behind_a_frame(self) -> None:
        with self.assertRaises(pm.FrameError):
            pm.decode(pm.encode(Ping(), 1) + b"\0")

    def test_printable(self) -> None:
        self.assertEqual(pm.printable(b"a\xc3\xbc\xe2\x82\xac\\"), "aü€\\")
        self.assertEqual(pm.printable(b"\x1b[1m\xff\x7f\xc2\x85"), "\\u{1b}[1m\\xff\\u{7f}\\u{85}")
        self.assertEqual(pm.printable(b"a\tb\r\n"), "a\\tb\\r\\n")
        self.assertEqual(pm.printable(b"a\n\x00", keep_line_feeds=True), "a\n\\u{0}")
        self.assertEqual(pm.printable(b"\xed\xb2\x80"), "\\xed\\xb2\\x80")

    def test_printable_ascii(self) -> None:
        self.assertEqual(pm.printable_ascii(b"back-off ~"), "back-off ~")
        self.assertEqual(pm.printable_ascii(b"\xc3\xbc\x1b\x7f\t\r\n"),
                         "\\xc3\\xbc\\x1b\\x7f\\t\\r\\n")
        self.assertEqual(pm.printable_ascii(b"a\\b'c\"d"), "a\\\\b\\'c\\\"d")

    def test_exit_statuses_of_a_shell(self) -> None:
        self.assertEqual(ExitStatus(ExitKind.EXITED, 255).shell, 255)
        self.assertEqual(ExitStatus(ExitKind.KILLED, 9).shell, 137)
        self.assertEqual(ExitStatus(ExitKind.KILLED, 64).shell, 192)
        self.assertEqual(ExitStatus(ExitKind.KILLED, 127).shell, 255)
        self.assertEqual(ExitStatus(ExitKind.KILLED, 255).shell, 255)
        self.assertEqual(pm.UNKNOWN_EXIT.shell, 125)


class FindSocketTest(unittest.TestCase):
    """Where the socket is."""

    def find(self, text: bytes, **environment: str) -> str:
        with tempfile.NamedTemporaryFile() as file:
            file.write(text)
            file.flush()
            environment.setdefault("PROCMGR_CONFFILE", file.name)
            return pm.find_socket(None, environment)

    def test_environment_beats_the_file(self) -> None:
        self.assertEqual(self.find(b"socket-path=/a", PROCMGR_SOCKET="/b"), "/b")
        self.assertEqual(self.find(b"socket-path=/a", PROCMGR_SOCKET=""), "/a")

    def test_grammar(self) -> None:
        for text, path in ((b"\xef\xbb\xbfsocket-path=/a", "/a"),
                           (b" \t socket-path \t =  /a = b \r\n", "/a = b"),
                           (b"socket-path=/a\nsocket-path=/b\n[x]\nsocket-path=/c", "/b"),
                           (b"#socket-path=/a\n;socket-path=/b\n[x\nsocket-path=/c", "/c"),
                           (b"  [x]  \nsocket-path=/a", pm.DEFAULT_SOCKET),
                           (b"socket-path=\"/\xff\"", "\"/\udcff\""),
                           (b"nonsense", pm.DEFAULT_SOCKET), (b"", pm.DEFAULT_SOCKET)):
            with self.subTest(text):
                self.assertEqual(self.find(text), path)

    def test_file_that_was_named_has_to_be_there(self) -> None:
        with self.assertRaises(FileNotFoundError):
            self.find(b"", PROCMGR_CONFFILE="/nonexistent/file")
        with self.assertRaises(FileNotFoundError):
            pm.find_socket("/nonexistent/file", {})
        with self.assertRaises(FileNotFoundError):
            pm.find_socket("", {})

    def test_default_file_may_be_absent_unless_it_is_named(self) -> None:
        with mock.patch.object(pm, "DEFAULT_CONFIGURATION", "/nonexistent/file"):
            self.assertEqual(pm.find_socket(None, {}), pm.DEFAULT_SOCKET)
            self.assertEqual(pm.find_socket(None, {"PROCMGR_CONFFILE": ""}), pm.DEFAULT_SOCKET)
            with self.assertRaises(FileNotFoundError):
                pm.find_socket(pm.DEFAULT_CONFIGURATION, {})

    def test_empty_path(self) -> None:
        with self.assertRaises(ValueError):
            self.find(b"socket-path =")


# --- Requests to a real daemon -------------------------------------------------------------------

class HostileDaemonTest(DaemonTest):
    """The frames of hostile.txt, as the daemon answers them."""

    def test_answers(self) -> None:
        for (name, error, code, id, then), data in vectors("hostile.txt"):
            if not name.startswith("request/"):
                continue
            with self.subTest(name), socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(self.daemon.socket)
                descriptors = data[7] if len(data) >= 16 and error != "magic" else 0
                self.assertEqual(socket.send_fds(connection, [data], [NULL] * descriptors),
                                 len(data))
                if error == "short":
                    connection.shutdown(socket.SHUT_WR)
                buffer = FrameBuffer()
                refusal = self.next_frame(connection, buffer)
                assert refusal is not None
                message = refusal.message()
                assert isinstance(message, Refused)
                self.assertEqual(message.code, code.encode())
                self.assertEqual(refusal.id, 0 if id == "0" else ID)
                self.assertEqual(refusal.version, 1)
                if then == "open":
                    connection.sendall(pm.encode(Ping(), 77))
                    done = self.next_frame(connection, buffer)
                    assert done is not None
                    self.assertEqual((done.id, done.message()), (77, Done()))
                else:
                    self.assertIsNone(self.next_frame(connection, buffer))

    def next_frame(self, connection: socket.socket, buffer: FrameBuffer) -> Optional[Frame]:
        while True:
            frame = buffer.next()
            if frame is not None:
                return frame
            try:
                data = connection.recv(4096)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            buffer.feed(data)


class RequestsTest(DaemonTest):
    """Each request, and each refusal that can be had."""

    PROGRAMS = f"""
[prog-nap]
cmd-start = {SLEEP}

[prog-stubborn]
{STUBBORN}

[prog-none]

[prog-lost]
cmd-start = {SLEEP}
cwd = /nonexistent/folder

[prog-echo]
cmd-signal = printf '%s\\0' "$0" "$@"

[prog-copy]
cmd-signal = echo to stderr >&2; cat; exit 7

[prog-killed]
cmd-signal = kill -9 $$

[prog-waits]
cmd-signal = cat >/dev/null

[prog-asks]
cmd-status = exit 3
"""

    def test_ping(self) -> None:
        self.client.ping(PATIENCE)
        self.client.ping(PATIENCE)

    def test_list(self) -> None:
        self.invoke(b"nap", b"start")
        programs = self.client.list(PATIENCE)
        self.assertEqual(programs[0], ListedProgram(b"nap", (b"running",)))
        self.assertEqual([program.name for program in programs],
                         [b"nap", b"stubborn", b"none", b"lost", b"echo", b"copy", b"killed",
                          b"waits", b"asks"])
        self.assertEqual([program.running for program in programs], [True] + [False] * 8)

    def test_reload(self) -> None:
        self.assertEqual(self.client.reload(PATIENCE), ())
        self.daemon.configure("[prog-nap]\ncmd-strat = x\n")
        (remark,) = self.client.reload(PATIENCE)
        self.assertIn(b"cmd-strat", remark)
        self.assertEqual(self.client.list(PATIENCE), (ListedProgram(b"nap", (b"dead",)),))

    def test_badconf(self) -> None:
        before = self.client.list(PATIENCE)
        self.daemon.configure("[prog-nap]\nrestart-delay = soon\nnonsense\n")
        with self.assertRaises(Refusal) as context:
            self.client.reload(PATIENCE)
        self.assertEqual(context.exception.code, Code.BADCONF)
        summary, *lines = context.exception.text.split(b"\n")
        self.assertEqual(len(lines), 2, context.exception)
        self.assertEqual(self.client.list(PATIENCE), before)

    def test_life_of_a_program(self) -> None:
        self.assertEqual(self.invoke(b"nap", b"status"), Status(False))
        self.assertEqual(self.invoke(b"nap", b"signal"), Done())
        self.assertEqual(self.invoke(b"nap", b"start"), Done())
        self.assertEqual(self.invoke(b"nap", b"status"), Status(True))
        first = self.pid(b"nap")
        self.assertEqual(self.invoke(b"nap", b"restart"), Done())
        self.assertEqual(self.invoke(b"nap", b"reload"), Done())
        self.assertNotEqual(self.pid(b"nap"), first)
        self.assertEqual(self.invoke(b"nap", b"stop"), Exited(SIGNAL_15))
        self.assertEqual(self.invoke(b"nap", b"status"), Status(False))
        self.assertEqual(self.invoke(b"asks", b"status"), exited(ExitKind.EXITED, 3))

    def test_refusals(self) -> None:
        with self.refused(Code.NOPROG):
            self.invoke(b"no\xff", b"start")
        with self.refused(Code.NOACTION):
            self.invoke(b"nap", b"strat")
        with self.refused(Code.NOTRUNNING):
            self.invoke(b"nap", b"stop")
        with self.refused(Code.NOCMD):
            self.invoke(b"none", b"start")
        with self.refused(Code.SPAWN):
            self.invoke(b"lost", b"start")
        with self.refused(Code.BADMSG):
            self.invoke(b"echo", b"signal", b"a\0b")
        with self.refused(Code.LIMIT):
            self.invoke(b"echo", b"signal", bytes([120]) * 131072)
        self.invoke(b"nap", b"start")
        with self.refused(Code.BUSY):
            self.invoke(b"nap", b"start")
        self.client.ping(PATIENCE)

    def test_cancelled(self) -> None:
        self.invoke(b"stubborn", b"start")
        restart = self.begin(b"stubborn", b"restart")
        wait_for(lambda: b"restarting" in self.tokens(b"stubborn"), "the restart")
        stop = self.begin(b"stubborn", b"stop")
        with self.refused(Code.CANCELLED):
            self.client.wait(restart, PATIENCE)
        os.kill(self.pid(b"stubborn"), signal.SIGKILL)
        self.assertEqual(self.client.wait(stop, PATIENCE), exited(ExitKind.KILLED, 9))

    def test_shutdown(self) -> None:
        self.invoke(b"stubborn", b"start")
        stop = self.begin(b"stubborn", b"stop")
        wait_for(lambda: b"stopping" in self.tokens(b"stubborn"), "the stop")
        self.daemon.note_pids()
        self.connect().stop(PATIENCE)
        with self.refused(Code.SHUTDOWN):
            self.client.wait(stop, PATIENCE)
        with self.assertRaises(pm.ConnectionLost):
            self.client.ping(PATIENCE)

    def test_stop(self) -> None:
        self.invoke(b"nap", b"start")
        self.daemon.note_pids()
        self.client.stop(PATIENCE)
        self.assertEqual(self.daemon.process.poll(), 0, "the process is not gone")
        self.assertFalse(os.path.exists(self.daemon.socket))
        with self.assertRaises(pm.NoDaemon):
            Client(self.daemon.socket)
        os.kill(self.daemon.pids[0], 0)  # The program goes on.

    def test_stop_with_a_request_under_way(self) -> None:
        self.invoke(b"stubborn", b"start")
        stop = self.begin(b"stubborn", b"stop")
        self.daemon.note_pids()
        self.client.stop(PATIENCE)
        self.assertEqual(self.daemon.process.poll(), 0)
        with self.refused(Code.SHUTDOWN):
            self.client.wait(stop, PATIENCE)

    def test_several_stops_at_once(self) -> None:
        clients = [self.client] + [self.connect() for _ in range(7)]
        failures: List[BaseException] = []

        def stop(client: Client) -> None:
            try:
                client.stop(PATIENCE)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=stop, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.daemon.process.poll(), 0)

    def test_stop_without_a_process_descriptor(self) -> None:
        with mock.patch.object(os, "pidfd_open", create=True, side_effect=OSError):
            self.client.stop(PATIENCE)
        self.assertEqual(self.daemon.process.wait(PATIENCE), 0)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
    def test_another_user(self) -> None:
        def codes() -> str:
            with Client(self.daemon.socket) as client:
                def code(request: Callable[[], Any]) -> str:
                    try:
                        return str(request())
                    except Refusal as refusal:
                        return refusal.code.decode()

                client.ping(PATIENCE)
                return " ".join([
                    code(lambda: client.invoke(b"nap", b"start", (), NULL, NULL, NULL, PATIENCE)),
                    code(lambda: client.reload(PATIENCE)), code(lambda: client.stop(PATIENCE)),
                    str(len(client.list(PATIENCE)))])

        self.assertEqual(as_nobody(codes), "BADAUTH EPERM EPERM 9")

    # Descriptors.

    def test_three_descriptors(self) -> None:
        stdin, stdin_writer = os.pipe()
        stdout_reader, stdout = os.pipe()
        stderr_reader, stderr = os.pipe()
        os.write(stdin_writer, b"hello\n")
        os.close(stdin_writer)
        answer = self.client.invoke(b"copy", b"signal", (), stdin, stdout, stderr, PATIENCE)
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        self.assertEqual(answer, exited(ExitKind.EXITED, 7))
        self.assertEqual(read_all(stdout_reader), b"hello\n")
        self.assertEqual(read_all(stderr_reader), b"to stderr\n")

    def test_much_data(self) -> None:
        data = os.urandom(1 << 22)
        stdin, stdin_writer = os.pipe()
        stdout_reader, stdout = os.pipe()

        def write() -> None:
            with open(stdin_writer, "wb") as file:
                file.write(data)

        writer = threading.Thread(target=write)
        writer.start()
        request = self.client.begin(Invoke(b"copy", b"signal", ()), (stdin, stdout, NULL), PATIENCE)
        os.close(stdin)
        os.close(stdout)
        self.assertTrue(read_all(stdout_reader) == data, "the data is not what was sent")
        writer.join()
        self.assertEqual(self.client.wait(request, PATIENCE), exited(ExitKind.EXITED, 7))

    def test_one_socket_as_all_three(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(b"x")
            ours.shutdown(socket.SHUT_WR)
            number = theirs.fileno()
            answer = self.client.invoke(b"copy", b"signal", (), number, number, number, PATIENCE)
            theirs.close()
            self.assertEqual(answer, exited(ExitKind.EXITED, 7))
            with ours.makefile("rb") as file:
                self.assertEqual(file.read(), b"to stderr\nx")

    def test_killed_script(self) -> None:
        self.assertEqual(self.invoke(b"killed", b"signal"), exited(ExitKind.KILLED, 9))

    def test_descriptor_that_is_closed(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        os.close(writer)
        with self.assertRaises(OSError):
            self.client.invoke(b"copy", b"signal", (), reader, NULL, NULL)
        self.client.ping(PATIENCE)
        with self.assertRaises(ValueError):
            self.client.begin(Invoke(b"copy", b"signal", ()), (NULL, NULL))

    def echo(self, *arguments: bytes) -> List[bytes]:
        reader, writer = os.pipe()
        request = self.client.begin(Invoke(b"echo", b"signal", arguments), (NULL, writer, NULL))
        os.close(writer)
        output = read_all(reader)
        self.assertEqual(self.client.wait(request, PATIENCE), exited(ExitKind.EXITED, 0))
        return output.split(b"\0")[:-1]

    def test_arguments_of_any_bytes(self) -> None:
        arguments = [b"", b"\xff\xfe", "äöü€".encode(), b"a\nb\x1b", b"-x", b"",
                     bytes(range(1, 256))]
        self.assertEqual(self.echo(*arguments), arguments)

    def test_large_arguments(self) -> None:
        arguments = [b"x" * 131071] * 10
        self.assertEqual(self.echo(*arguments), arguments)

    def test_arguments_that_no_process_can_have(self) -> None:
        with self.refused(Code.SPAWN):
            self.invoke(b"echo", b"signal", *[b"x" * 131071] * 31)
        with self.assertRaises(pm.FrameError):
            self.invoke(b"echo", b"signal", *[b"x" * 131071] * 33)
        self.client.ping(PATIENCE)

    # Many requests at once.

    def test_answers_in_any_order(self) -> None:
        reader, writer = os.pipe()
        slow = self.client.begin(Invoke(b"waits", b"signal", ()), (reader, NULL, NULL))
        os.close(reader)
        refusal = self.client.begin(Invoke(b"nap", b"stop", ()), (NULL, NULL, NULL))
        listed, ping = self.client.begin(pm.List()), self.client.begin(Ping())
        self.assertEqual(self.client.wait(ping, PATIENCE), Done())
        self.assertIsInstance(self.client.wait(listed, PATIENCE), Programs)
        id, answer = self.client.next_answer(PATIENCE)
        self.assertEqual(id, refusal)
        self.assertEqual(getattr(answer, "code"), Code.NOTRUNNING)
        with self.assertRaises(pm.TimedOut):
            self.client.wait(slow, 0.01)
        os.close(writer)
        self.assertEqual(self.client.wait(slow, PATIENCE), exited(ExitKind.EXITED, 0))
        with self.assertRaises(ValueError):
            self.client.wait(slow, PATIENCE)
        with self.assertRaises(ValueError):
            self.client.next_answer(PATIENCE)

    def test_more_answers_than_any_buffer_holds(self) -> None:
        ids = [self.client.begin(pm.List(), (), PATIENCE) for _ in range(5000)]
        answers = [self.client.wait(id, PATIENCE) for id in reversed(ids)]
        self.assertEqual(len(set(answers)), 1)

    def test_a_request_of_another_length_and_many_descriptors(self) -> None:
        requests = [Invoke(b"killed", b"signal", (b"x" * (1 << n),)) for n in range(17)]
        ids = [self.client.begin(request, (NULL, NULL, NULL), PATIENCE) for request in requests]
        for id in ids:
            self.assertEqual(self.client.wait(id, PATIENCE), exited(ExitKind.KILLED, 9))

    def test_close_takes_nothing_back(self) -> None:
        self.begin(b"nap", b"start")
        self.client.close()
        wait_for(lambda: self.tokens(b"nap") == (b"running",), "the start")
        with self.assertRaises(pm.ConnectionLost):
            self.client.ping()
        with self.assertRaises(pm.ConnectionLost):
            self.client.stop()
        self.connect().ping(PATIENCE)

    def test_too_many_connections(self) -> None:
        small = self.start_daemon("", open_files=128)
        served, refusals = [], []
        for client in [self.connect(small) for _ in range(20)]:
            try:
                client.ping(PATIENCE)
                served.append(client)
            except Refusal as refusal:
                refusals.append(refusal.code)
        self.assertEqual(set(refusals), {Code.LIMIT})
        for client in served:
            client.ping(PATIENCE)

    def test_asyncio(self) -> None:
        async def ask() -> List[pm.Message]:
            reader, writer = await asyncio.open_unix_connection(self.daemon.socket)
            writer.write(pm.encode(Ping(), 1) + pm.encode(pm.List(), 2))
            buffer = FrameBuffer()
            messages: List[pm.Message] = []
            while len(messages) < 2:
                frame = buffer.next()
                if frame is None:
                    buffer.feed(await reader.read(10))
                else:
                    messages.append(frame.message())
            writer.close()
            return messages

        done, programs = asyncio.run(ask())
        self.assertEqual(done, Done())
        self.assertIsInstance(programs, Programs)


def as_nobody(function: Callable[[], str]) -> str:
    """Return what a function returns that is called by another user, in another process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            result = function()
        except BaseException as error:
            result = repr(error)
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    result = read_all(reader).decode()
    os.waitpid(child, 0)
    return result


# --- Events --------------------------------------------------------------------------------------

class DetailsTest(DaemonTest):
    """What the daemon tells of programs, reloads and rights beside lists and events."""

    PROGRAMS = f"""
[prog-nap]
cmd-start = {SLEEP}
cmd-backup = exit 4

[prog-phoenix]
cmd-start = exit 5
restart-delay = 1000

[prog-none]
"""

    def inspected(self, name: bytes) -> InspectedProgram:
        """Return what a program has gone through."""
        return {inspected.program.name: inspected
                for inspected in self.client.inspect(PATIENCE)}[name]

    def dead(self, name: bytes) -> Any:
        """Return the same if its main process has ended."""
        inspected = self.inspected(name)
        return inspected if inspected.last_exit is not None else None

    def test_custom_action(self) -> None:
        self.assertEqual(self.invoke(b"nap", b"backup"), exited(ExitKind.EXITED, 4))
        with self.refused(Code.NOACTION):
            self.invoke(b"phoenix", b"backup")

    def test_inspect(self) -> None:
        begin = time.time_ns() // 1000000
        self.invoke(b"nap", b"start")
        self.invoke(b"phoenix", b"start")
        phoenix = wait_for(lambda: self.dead(b"phoenix"), "the death")
        end = time.time_ns() // 1000000
        nap, none = self.inspected(b"nap"), self.inspected(b"none")
        self.assertEqual(nap.program, ProgramStatus(b"nap", b"running", self.pid(b"nap"), ()))
        assert nap.since is not None
        self.assertTrue(begin <= nap.since <= end, (begin, nap.since, end))
        self.assertEqual((nap.restarts, nap.last_exit, nap.next_start), (0, None, None))
        self.assertEqual(none, InspectedProgram(ProgramStatus(b"none", b"down", None, ()),
                                                None, 0, None, None))
        self.assertEqual(phoenix.program.state, pm.State.BACK_OFF)
        self.assertIsNone(phoenix.since)
        self.assertEqual(phoenix.last_exit.status, ExitStatus(ExitKind.EXITED, 5))
        died = phoenix.last_exit.time
        self.assertTrue(begin <= died <= end, (begin, died, end))
        due = phoenix.next_start - 1000000
        self.assertTrue(begin - 10 <= due <= end + 10, (begin, due, end))

    def test_preview(self) -> None:
        self.assertEqual(self.client.preview(PATIENCE), Previewed((), ()))
        self.invoke(b"nap", b"start")
        pid = self.pid(b"nap")
        self.daemon.configure("[prog-new]\n[prog-nap]\ncmd-start = exec sleep 2000\n")
        preview = self.client.preview(PATIENCE)
        self.assertEqual(preview, self.client.preview(PATIENCE))
        programs = {program.name: program for program in preview.programs}
        self.assertEqual(set(programs), {b"new", b"nap", b"phoenix", b"none"})
        self.assertEqual(programs[b"new"], PreviewedProgram(b"new", b"added", (), None, False))
        self.assertEqual(programs[b"none"], PreviewedProgram(b"none", b"removed", (), None, False))
        nap = programs[b"nap"]
        self.assertEqual((nap.effect, nap.pid, nap.outdated), (b"changed", pid, True))
        self.assertEqual(set(nap.keys), {b"cmd-start", b"cmd-backup"})
        self.assertEqual(len(self.client.list(PATIENCE)), 3, "it was no preview")
        self.client.reload(PATIENCE)
        self.assertEqual(self.client.preview(PATIENCE).programs,
                         (PreviewedProgram(b"nap", b"unchanged", (), pid, True),))

    def test_preview_of_a_bad_file(self) -> None:
        self.daemon.configure("[prog-nap]\nrestart-delay = soon\n")
        with self.refused(Code.BADCONF):
            self.client.preview(PATIENCE)

    def test_permissions(self) -> None:
        permissions = {permission.program: permission.actions
                       for permission in self.client.permissions(PATIENCE)}
        self.assertIn(b"backup", permissions[b"nap"])
        self.assertIn(b"start", permissions[b"nap"])
        self.assertNotIn(b"backup", permissions[b"phoenix"])
        self.assertNotIn(b"start", permissions.get(b"none", ()))


class EventsTest(DaemonTest):
    """Subscriptions."""

    NAP = f"[prog-nap]\ncmd-start = {SLEEP}\n"
    PHOENIX = f"[prog-phoenix]\ncmd-start = {SLEEP}\nrestart-delay = 1\n"
    LOST = f"[prog-lost]\ncmd-start = {SLEEP}\ncwd = /nonexistent/folder\n"
    PROGRAMS = NAP + PHOENIX + LOST

    def setUp(self) -> None:
        super().setUp()
        self.events = self.connect().subscribe(PATIENCE)
        self.me = Requester(os.getpid(), os.geteuid(), os.getegid())

    def next(self, name: bytes, state: bytes, *, marks: Tuple[bytes, ...] = (),
             ended: Optional[ExitStatus] = None, by: Optional[Requester] = None) -> Changed:
        """Check the next event, but for its time, PID and failure, and return it."""
        event = self.events.next(PATIENCE)
        found = (event.program.name, event.program.state, event.program.marks, event.ended,
                 event.by)
        self.assertEqual(found, (name, state, marks, ended, by))
        self.assertLess(abs(event.time / 1000 - time.time()), PATIENCE)
        self.assertEqual(event.program.running, state in (b"running", b"stopping", b"restarting"))
        return event

    def test_snapshot(self) -> None:
        self.invoke(b"phoenix", b"start")
        nap, phoenix, lost = self.connect().subscribe(PATIENCE).programs
        self.assertEqual(nap, ProgramStatus(b"nap", b"down", None, ()))
        self.assertEqual((phoenix.state, phoenix.running), (b"running", True))
        self.assertEqual(lost.name, b"lost")

    def test_start_restart_and_stop(self) -> None:
        self.invoke(b"nap", b"start")
        self.next(b"nap", b"starting", by=self.me)
        first = self.next(b"nap", b"running", by=self.me).program.pid
        self.invoke(b"nap", b"restart")
        self.next(b"nap", b"restarting", by=self.me)
        self.next(b"nap", b"starting", ended=SIGNAL_15, by=self.me)
        self.assertNotEqual(self.next(b"nap", b"running", by=self.me).program.pid, first)
        self.invoke(b"nap", b"stop")
        self.next(b"nap", b"stopping", by=self.me)
        self.next(b"nap", b"down", ended=SIGNAL_15, by=self.me)

    def test_death_and_automatic_restart(self) -> None:
        self.invoke(b"phoenix", b"start")
        self.next(b"phoenix", b"starting", by=self.me)
        running = self.next(b"phoenix", b"running", by=self.me)
        assert running.program.pid is not None
        os.kill(running.program.pid, signal.SIGKILL)
        self.next(b"phoenix", b"back-off", ended=ExitStatus(ExitKind.KILLED, 9))
        self.next(b"phoenix", b"starting")
        again = self.next(b"phoenix", b"running")
        self.assertNotEqual(again.program.pid, running.program.pid)

    def test_stop_of_what_waits_to_be_started_again(self) -> None:
        self.daemon.configure(self.PHOENIX.replace("= 1", "= 1000"))
        self.client.reload(PATIENCE)
        self.next(b"nap", b"removed", by=self.me)
        self.next(b"lost", b"removed", by=self.me)
        self.invoke(b"phoenix", b"start")
        self.next(b"phoenix", b"starting", by=self.me)
        pid = self.next(b"phoenix", b"running", by=self.me).program.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        self.next(b"phoenix", b"back-off", ended=ExitStatus(ExitKind.KILLED, 9))
        self.assertEqual(self.tokens(b"phoenix"), (b"dead", b"restarting"))
        self.assertEqual(self.invoke(b"phoenix", b"stop"), Done())
        self.next(b"phoenix", b"down", by=self.me)

    def test_reload(self) -> None:
        self.invoke(b"nap", b"start")
        self.next(b"nap", b"starting", by=self.me)
        self.next(b"nap", b"running", by=self.me)
        self.daemon.configure(self.NAP.replace("1000", "1001") + "[prog-new]\n")
        self.client.reload(PATIENCE)
        changes = sorted((event.program.name, event.program.state, event.program.marks, event.by)
                         for event in (self.events.next(PATIENCE) for _ in range(4)))
        self.assertEqual(changes, [
            (b"lost", b"removed", (), self.me), (b"nap", b"running", (b"outdated",), self.me),
            (b"new", b"down", (), self.me), (b"phoenix", b"removed", (), self.me)])
        self.daemon.configure("[prog-new]\n")
        self.client.reload(PATIENCE)
        self.next(b"nap", b"running", marks=(b"lingering",), by=self.me)
        with self.refused(Code.NOPROG):
            self.invoke(b"nap", b"restart")
        self.assertEqual(self.invoke(b"nap", b"stop"), Exited(SIGNAL_15))
        self.next(b"nap", b"stopping", marks=(b"lingering",), by=self.me)
        self.next(b"nap", b"removed", ended=SIGNAL_15, by=self.me)

    def test_failure(self) -> None:
        with self.refused(Code.SPAWN):
            self.invoke(b"lost", b"start")
        self.next(b"lost", b"starting", by=self.me)
        self.assertIn(b"/nonexistent/folder",
                      self.next(b"lost", b"down", by=self.me).failure or b"")

    def test_shutdown(self) -> None:
        self.invoke(b"nap", b"start")
        self.daemon.note_pids()
        self.client.stop(PATIENCE)
        events = []
        with self.refused(Code.SHUTDOWN):
            for event in self.events:
                events.append(event.program.state)
        self.assertEqual(events, [b"starting", b"running"])
        with self.refused(Code.SHUTDOWN):
            next(self.events)

    def test_second_subscription(self) -> None:
        self.client.subscribe(PATIENCE)
        with self.refused(Code.LIMIT):
            self.client.subscribe(PATIENCE)
        self.client.ping(PATIENCE)

    def test_requests_beside_a_subscription(self) -> None:
        events = self.client.subscribe(PATIENCE)
        self.invoke(b"nap", b"start")
        self.invoke(b"nap", b"stop")
        self.client.ping(PATIENCE)
        states = [events.next(PATIENCE).program.state for _ in range(4)]
        self.assertEqual(states, [b"starting", b"running", b"stopping", b"down"])
        with self.assertRaises(pm.TimedOut):
            events.next(0.01)

    def test_own_stop_ends_the_subscription(self) -> None:
        events = self.client.subscribe(PATIENCE)
        self.client.stop(PATIENCE)
        with self.refused(Code.SHUTDOWN):
            events.next(PATIENCE)


# --- Daemons that are not what they should be ----------------------------------------------------

class FakeDaemonTest(unittest.TestCase):
    """The client, and answers that a good daemon does not give, that a later one may give, or that
    it takes much to be given.
    """

    def connect(self, *frames: bytes, requests: int = 1) -> Client:
        """Connect to a thread that reads requests, says something, and closes the connection."""
        client = Client(self.serve(*frames, requests=requests))
        self.addCleanup(client.close)
        return client

    def serve(self, *frames: bytes, requests: int = 1) -> str:
        """Start such a thread, and return the path of its socket."""
        folder = tempfile.mkdtemp(prefix="procmgr-test-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()

        def talk() -> None:
            connection, _ = listener.accept()
            with listener, connection, contextlib.suppress(OSError):
                buffer, seen = FrameBuffer(), 0
                while seen < requests:
                    if buffer.next() is not None:
                        seen += 1
                        continue
                    data = connection.recv(65536)
                    if not data:
                        return
                    buffer.feed(data)
                for frame in frames:
                    connection.sendall(frame)

        thread = threading.Thread(target=talk)
        thread.start()
        self.addCleanup(thread.join)
        return path

    def assert_senseless(self, *frames: bytes) -> None:
        client = self.connect(*frames)
        with self.assertRaises(pm.SenselessAnswer):
            client.ping(PATIENCE)
        self.assertEqual(client.fileno(), -1)
        with self.assertRaises(pm.SenselessAnswer):
            client.ping(PATIENCE)

    def test_garbage(self) -> None:
        self.assert_senseless(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    def test_hostile_responses(self) -> None:
        for (name, error, *_), data in vectors("hostile.txt"):
            if name.startswith("response/"):
                with self.subTest(name):
                    data = data[:8] + (1).to_bytes(4, "little") + data[12:]
                    client = self.connect(data)
                    expected = pm.ConnectionLost if error == "short" else pm.SenselessAnswer
                    with self.assertRaises(expected):
                        client.ping(PATIENCE)

    def test_hostile_events(self) -> None:
        for (name, error, *_), data in vectors("hostile.txt"):
            if name.startswith("event/"):
                with self.subTest(name):
                    data = data[:8] + (1).to_bytes(4, "little") + data[12:]
                    client = self.connect(pm.encode(Subscribed(()), 1), data,
                                          pm.encode(changed(1, b"a", b"down"), 1))
                    events = client.subscribe(PATIENCE)
                    if error == "variant":
                        self.assertEqual(events.next(PATIENCE).program.name, b"a")
                    else:
                        with self.assertRaises(pm.SenselessAnswer):
                            events.next(PATIENCE)

    def test_truncated_frames(self) -> None:
        frame = pm.encode(Done(), 1)
        for end in range(len(frame)):
            with self.subTest(end), self.assertRaises(pm.ConnectionLost):
                self.connect(frame[:end]).ping(PATIENCE)

    def test_other_id(self) -> None:
        self.assert_senseless(pm.encode(Done(), 2))

    def test_response_that_does_not_suit(self) -> None:
        self.assert_senseless(pm.encode(Programs(()), 1))

    def test_request_from_the_daemon(self) -> None:
        self.assert_senseless(pm.encode(Ping(), 1))

    def test_second_answer(self) -> None:
        client = self.connect(pm.encode(Done(), 1) * 2)
        client.ping(PATIENCE)
        with self.assertRaises(pm.SenselessAnswer):
            client.wait(client.begin(Ping()), PATIENCE)

    def test_event_without_a_subscription(self) -> None:
        self.assert_senseless(pm.encode(changed(1, b"a", b"down"), 1))

    def test_unknown_event_of_any_id(self) -> None:
        unknown = Frame(Kind.EVENT, 99, b"\x63\0\0\0x").encode()
        self.connect(unknown, pm.encode(Done(), 1)).ping(PATIENCE)

    def test_event_of_another_version(self) -> None:
        for event in (Frame.of(changed(1, b"a", b"down"), 1, 2),
                      Frame(Kind.EVENT, 1, b"\x63\0\0\0x", version=2)):
            client = self.connect(pm.encode(Subscribed(()), 1), event.encode())
            with self.assertRaises(pm.OtherVersion):
                client.subscribe(PATIENCE).next(PATIENCE)

    def test_descriptors_announced(self) -> None:
        done = Frame(Kind.RESPONSE, 1, Frame.of(Done(), 1).body, 1)
        self.connect(done.encode()).ping(PATIENCE)

    def test_frozen_responses_of_another_version(self) -> None:
        frozen: Sequence[pm.Message] = (Done(), Programs(()), Reloaded((b"x",)),
                                        Refused(b"a", b"b"))
        client = self.connect(*[pm.encode(message, id, 7) for id, message in enumerate(frozen, 1)],
                              requests=4)
        ids = [client.begin(request) for request in (Ping(), pm.List(), pm.Reload(), Ping())]
        self.assertEqual([client.wait(id, PATIENCE) for id in ids[:3]], list(frozen[:3]))
        with self.assertRaises(Refusal) as context:
            client.wait(ids[3], PATIENCE)
        self.assertEqual((context.exception.code, context.exception.version), (b"a", 7))

    def test_other_responses_of_another_version(self) -> None:
        unknown = Frame(Kind.RESPONSE, 1, b"\x63\0\0\0x", version=2)
        for frame in (Frame.of(Status(True), 1, version=2), unknown):
            client = self.connect(frame.encode())
            with self.assertRaises(pm.OtherVersion):
                client.invoke(b"a", b"status", (), NULL, NULL, NULL, PATIENCE)

    def test_malformed_response_of_another_version(self) -> None:
        for frame in (pm.encode(Reloaded(()), 1, 2)[:-1] + b"\1",
                      Frame(Kind.RESPONSE, 1, b"\1", version=2).encode()):
            with self.assertRaises(pm.OtherVersion):
                self.connect(frame).ping(PATIENCE)

    def test_refused_stop(self) -> None:
        for code in (Code.EPERM, Code.SHUTDOWN):
            client = self.connect(pm.encode(Refused(code, b"x"), 1))
            with mock.patch.object(os, "pidfd_open", create=True, side_effect=OSError):
                with self.assertRaises(Refusal) as context:
                    client.stop(PATIENCE)
            self.assertEqual(context.exception.code, code)

    def test_stop_of_a_daemon_that_a_manager_has_listened_for(self) -> None:
        # The process behind the connection is this one, which goes on.
        with mock.patch.object(pm, "_LONGEST_END", 0.05):
            self.connect(pm.encode(Done(), 1)).stop(PATIENCE)
            self.connect(pm.encode(Done(), 1)).stop()
        with self.assertRaises(pm.TimedOut):
            self.connect(pm.encode(Done(), 1)).stop(0.05)

    def recorded(self, name: str) -> Client:
        """Connect to a daemon whose answer to the first request is a frame of frames.txt."""
        data = next(data for words, data in vectors("frames.txt") if words == [name])
        return self.connect(data[:8] + (1).to_bytes(4, "little") + data[12:])

    def test_inspect(self) -> None:
        web, game = self.recorded("response/inspected").inspect(PATIENCE)
        self.assertEqual((web.program.name, web.program.running), (b"web", True))
        self.assertEqual((web.since, web.restarts, web.next_start), (1772357400125, 2, None))
        self.assertEqual(web.last_exit, PastExit(ExitStatus(ExitKind.KILLED, 9), 1772357395120))
        self.assertEqual((game.program.state, game.since), (pm.State.BACK_OFF, None))
        self.assertEqual(game.next_start, 1772357409000)
        odd, new, failed = self.recorded("response/inspected/everything").inspect(PATIENCE)
        self.assertEqual((odd.program.state, odd.since), (b"moon", 2 ** 64 - 1))
        self.assertEqual((new.last_exit, new.restarts), (None, 0))
        self.assertEqual((failed.program.marks, failed.restarts), ((b"failed",), 5))
        self.assertEqual(self.recorded("response/inspected/none").inspect(PATIENCE), ())

    def test_past_exit_of_a_later_daemon(self) -> None:
        past = PastExit(pm.UNKNOWN_EXIT, 7)
        program = InspectedProgram(ProgramStatus(b"a", b"down", None, ()), None, 0, past, None)
        data = pm.encode(Inspected((program,)), 1)
        later = data[:-14] + b"\x09\0\0\0\x2a" + data[-9:]
        self.assertEqual(self.connect(later).inspect(PATIENCE), (program,))

    def test_preview(self) -> None:
        answer = self.recorded("response/previewed").preview(PATIENCE)
        self.assertEqual([(program.name, program.effect) for program in answer.programs],
                         [(b"web", pm.Effect.CHANGED), (b"game", pm.Effect.ADDED)])
        self.assertEqual(answer.programs[0].keys, (b"cmd-start", b"cwd"))
        self.assertEqual((answer.programs[0].pid, answer.programs[0].outdated), (4711, True))
        self.assertEqual(answer.remarks, (b"f:1:2: warning: a",))
        effects = self.recorded("response/previewed/effects").preview(PATIENCE).programs
        self.assertEqual([program.effect for program in effects],
                         [b"unchanged", b"changed", b"removed", b"removed", b"moon"])
        self.assertEqual(self.recorded("response/previewed/none").preview(PATIENCE),
                         Previewed((), ()))

    def test_permissions(self) -> None:
        self.assertEqual(self.recorded("response/permissions").permissions(PATIENCE),
                         (Permission(b"web", (b"start", b"stop", b"backup")),
                          Permission(b"game", (b"status",))))
        self.assertEqual(self.recorded("response/permissions/none").permissions(PATIENCE), ())

    def test_answers_of_one_to_another(self) -> None:
        asks: List[Tuple[str, Callable[[Client], Any]]] = [
            ("inspected", lambda client: client.inspect(PATIENCE)),
            ("previewed", lambda client: client.preview(PATIENCE)),
            ("permissions", lambda client: client.permissions(PATIENCE))]
        for suitable, ask in asks:
            for name, _ in asks:
                if name != suitable:
                    with self.assertRaises(pm.SenselessAnswer):
                        ask(self.recorded(f"response/{name}"))
            with self.assertRaises(Refusal) as context:
                ask(self.recorded("response/refused/badcmd"))
            self.assertEqual(context.exception.code, Code.BADCMD)

    def test_upgrade(self) -> None:
        client = self.connect(pm.encode(Done(), 1), pm.encode(Done(), 2), requests=2)
        second = client.begin(pm.Upgrade())
        client.upgrade(PATIENCE)
        self.assertEqual(client.wait(second, PATIENCE), Done())

    def test_refused_upgrade(self) -> None:
        for code in (Code.EPERM, Code.BUSY, Code.SPAWN, Code.BADCMD):
            client = self.connect(pm.encode(Refused(code, b"x"), 1), pm.encode(Done(), 2))
            with self.assertRaises(Refusal) as context:
                client.upgrade(PATIENCE)
            self.assertEqual(context.exception.code, code)

    def test_upgrade_by_the_command_line(self) -> None:
        refused_upgrade = refused(b"SPAWN", b"it cannot take over")
        for answer, status, complaint in (
                (Done(), 0, b""),
                (refused_upgrade, 1, b"ERROR: (SPAWN) it cannot take over\n"),
                (Status(True), 1, None)):
            path = self.serve(pm.encode(answer, 1))
            done = subprocess.run([*CLI, "-s", path, "upgrade"], capture_output=True,
                                  timeout=PATIENCE)
            self.assertEqual((done.returncode, done.stdout), (status, b""))
            if complaint is None:
                self.assertRegex(done.stderr, rb"\AERROR: [^(][^\n]*\n\Z")
            else:
                self.assertEqual(done.stderr, complaint)

    def test_unknown_code(self) -> None:
        with self.assertRaises(Refusal) as context:
            self.connect(pm.encode(Refused(b"MOON\xff", b"\x1bfull"), 1)).ping(PATIENCE)
        self.assertEqual(context.exception.code, b"MOON\xff")
        self.assertEqual(str(context.exception), "(MOON\\xff) \\u{1b}full")

    def test_unknown_exit_status(self) -> None:
        (data,) = [data for (name,), data in vectors("frames.txt") if name == "later/exited"]
        client = self.connect(data[:8] + (1).to_bytes(4, "little") + data[12:])
        answer = client.invoke(b"a", b"stop", (), NULL, NULL, NULL, PATIENCE)
        self.assertEqual(answer, Exited(pm.UNKNOWN_EXIT))

    def test_unknown_state(self) -> None:
        moon = ProgramStatus(b"a", b"moon", 5, (b"blue",))
        client = self.connect(pm.encode(Subscribed((moon,)), 1))
        (program,) = client.subscribe(PATIENCE).programs
        self.assertEqual((program, program.running), (moon, True))

    def test_refusal_of_the_connection(self) -> None:
        client = self.connect(pm.encode(Refused(b"LIMIT", b"x"), 0), requests=2)
        ids = [client.begin(Ping()), client.begin(Ping())]
        for id in ids:
            with self.assertRaises(Refusal) as context:
                client.wait(id, PATIENCE)
            self.assertEqual(context.exception.code, Code.LIMIT)

    def test_refusal_before_the_request(self) -> None:
        for request in (Client.ping, Client.stop):
            client = self.connect(pm.encode(Refused(b"LIMIT", b"x"), 0), requests=0)
            poll = select.poll()
            poll.register(client, 0)
            self.assertTrue(poll.poll(PATIENCE * 1000), "the connection is not closed")
            with self.assertRaises(Refusal) as context:
                request(client, PATIENCE)
            self.assertEqual(context.exception.code, Code.LIMIT)

    def test_partial_sends(self) -> None:
        client = self.connect(pm.encode(Done(), 1), requests=1)
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        arguments = (b"x" * 100000,) * 40
        answer = client.invoke(b"a", b"start", arguments, NULL, NULL, NULL, PATIENCE)
        self.assertEqual(answer, Done())

    def test_sending_is_given_up(self) -> None:
        listener = self.silent_listener(5)
        client = Client(listener.getsockname())
        self.addCleanup(client.close)
        with self.assertRaises(pm.NotSentInTime):
            client.invoke(b"a", b"start", (b"x" * 4000000,), NULL, NULL, NULL, 0.01)
        self.assertEqual(client.fileno(), -1)

    def test_waiting_is_given_up(self) -> None:
        listener = self.silent_listener(5)
        with Client(listener.getsockname(), PATIENCE) as client:
            for request in (client.ping, client.list, client.reload, client.stop,
                            client.upgrade, client.subscribe):
                with self.assertRaises(pm.TimedOut) as raised:
                    request(0.01)
                self.assertNotIsInstance(raised.exception, pm.NotSentInTime)

    def test_connecting_is_given_up(self) -> None:
        listener = self.silent_listener(0)
        with Client(listener.getsockname()), self.assertRaises(pm.NotSentInTime):
            Client(listener.getsockname(), 0.01)

    def silent_listener(self, backlog: int) -> socket.socket:
        folder = tempfile.mkdtemp(prefix="procmgr-test-")
        self.addCleanup(shutil.rmtree, folder)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(os.path.join(folder, "socket"))
        listener.listen(backlog)
        return listener

    def test_nobody_there(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with self.assertRaises(pm.NoDaemon):
                Client(path)
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(path)
            with self.assertRaises(pm.NoDaemon):
                Client(path.encode())
            os.unlink(path)
            Path(path).touch()
            for impossible in (path, "", "a\0b", "/" + "x" * 107, os.path.join(path, "x")):
                with self.assertRaises(pm.CannotConnect) as context:
                    Client(impossible)
                self.assertNotIsInstance(context.exception, pm.NoDaemon)

    def test_ids(self) -> None:
        client = self.connect(pm.encode(Done(), 0xffffffff) + pm.encode(Done(), 1), requests=2)
        client._last_id = 0xfffffffe
        self.assertEqual([client.begin(Ping()), client.begin(Ping())], [0xffffffff, 1])
        client._last_id = 0xfffffffe
        self.assertEqual(client._free_id(), 2)


# --- The command line ----------------------------------------------------------------------------

class Result(NamedTuple):
    status: int
    stdout: bytes
    stderr: bytes


class CommandLineTest(DaemonTest):
    """Standard output, standard error and exit statuses."""

    PROGRAMS = f"""
[prog-nap]
cmd-start = echo up; {SLEEP}
cmd-signal = cat; echo "$0" >&2; exit 7

[prog-stubborn]
{STUBBORN}

[prog-killed]
cmd-signal = kill -9 $$

[prog-list]
cmd-status = exit 3

[prog-\udcff\x1büber]
"""

    def environment(self) -> Dict[str, str]:
        keep = {name: value for name, value in os.environ.items() if name != "PROCMGR_CONFFILE"}
        return {**keep, "PROCMGR_SOCKET": self.daemon.socket}

    def run_cli(self, *words: Any, stdin: bytes = b"") -> Result:
        done = subprocess.run([*CLI, *words], input=stdin, capture_output=True,
                              env=self.environment(), timeout=PATIENCE)
        return Result(done.returncode, done.stdout, done.stderr)

    def test_ping(self) -> None:
        self.assertEqual(self.run_cli("ping"), (0, b"running\n", b""))
        self.assertEqual(self.run_cli("-s", "/nonexistent/socket", "ping"),
                         (1, b"not running\n", b""))
        for path in (HERE, HERE / "procmgr_cli.py" / "socket", "/" + "x" * 107):
            result = self.run_cli("-s", path, "ping")
            self.assertEqual(result[:2], (1, b""))
            self.assertTrue(result.stderr.startswith(b"ERROR: cannot connect to "), result)

    def test_list_is_that_of_procmgr(self) -> None:
        reference = subprocess.run([EXECUTABLE, "-a"], env=self.environment(), check=True,
                                   capture_output=True)
        self.assertEqual(self.run_cli("list"), (0, reference.stdout, b""))

    def test_list_on_a_terminal(self) -> None:
        outputs = []
        for command in ([*CLI, "list"], [EXECUTABLE, "-a"]):
            ours, theirs = pty.openpty()
            subprocess.run(command, env=self.environment(), stdout=theirs, check=True,
                           timeout=PATIENCE)
            os.close(theirs)
            output = b""
            with contextlib.suppress(OSError):  # The end of a terminal is an error.
                while True:
                    output += os.read(ours, 4096)
            os.close(ours)
            outputs.append(output)
        self.assertIn(b"\\xff\\u{1b}", outputs[0])
        self.assertEqual(*outputs)

    def test_actions(self) -> None:
        for words, result in (
                (["nap", "status"], (1, b"not running\n", b"")),
                (["nap", "start"], (0, b"up\n", b"")),
                (["nap", "status"], (0, b"running\n", b"")),
                (["nap", "start"], (125, b"", b"ERROR: (BUSY) nap is running\n")),
                (["nap", "signal", b"-\xff"], (7, b"in", b"-\xff\n")),
                (["nap", "signal", "-t", "1"], (7, b"in", b"-t\n")),
                (["nap", "stop"], (143, b"", b"")),
                (["killed", "signal"], (137, b"", b"")),
                (["list", "status"], (3, b"", b""))):
            with self.subTest(words):
                self.assertEqual(self.run_cli(*words, stdin=b"in"), result)

    def test_closed_standard_streams(self) -> None:
        closed = subprocess.run(
            ["sh", "-c", '"$@" <&- 2>&-', "sh", *CLI, "nap", "signal", "x"],
            env=self.environment(), stdout=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual((closed.returncode, closed.stdout), (7, b""))
        for command in ("list", "nap signal"):
            closed = subprocess.run(
                ["sh", "-c", f'"$@" {command} <&- >&- 2>&-', "sh", *CLI],
                env=self.environment(), timeout=PATIENCE)
            self.assertEqual(closed.returncode, 0 if command == "list" else 7)

    def test_reload(self) -> None:
        self.assertEqual(self.run_cli("reload"), (0, b"", b""))
        self.daemon.configure("[prog-nap]\ncmd-strat = x\n")
        result = self.run_cli("reload")
        self.assertEqual(result[:2], (0, b""))
        self.assertRegex(result.stderr, rb"\A[^\n]*cmd-strat[^\n]*\n\Z")
        self.daemon.configure("[prog-nap\n")
        result = self.run_cli("reload")
        self.assertEqual(result[:2], (1, b""))
        self.assertRegex(result.stderr, rb"\AERROR: \(BADCONF\) [^\n]*\n[^\n]*: error: [^\n]*\n\Z")

    def test_stop(self) -> None:
        self.assertEqual(self.run_cli("stop"), (0, b"", b""))
        self.assertEqual(self.daemon.process.poll(), 0)
        for words, status in ((["stop"], 1), (["watch"], 1), (["nap", "stop"], 125)):
            result = self.run_cli(*words)
            self.assertEqual(result[:2], (status, b""))
            self.assertTrue(result.stderr.startswith(b"ERROR: cannot connect to "))

    def test_timeout(self) -> None:
        self.invoke(b"stubborn", b"start")
        self.assertEqual(self.run_cli("-t", "0.05", "stubborn", "stop")[:2], (124, b""))
        wait_for(lambda: b"stopping" in self.tokens(b"stubborn"), "the stop")

    def test_nothing_is_asked_in_time(self) -> None:
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(folder, "socket")
            listener.bind(path)
            listener.listen(5)
            words = ["-s", path, "-t", "0.05", "nap", "start", *["x" * 100000] * 10]
            # In a file, for what was sent of the request holds the standard streams.
            with tempfile.TemporaryFile() as output:
                done = subprocess.run([*CLI, *words], stdin=subprocess.DEVNULL, stdout=output,
                                      stderr=output, timeout=PATIENCE)
                output.seek(0)
                self.assertEqual(output.read(), b"ERROR: the daemon has not taken the request in "
                                                b"time; the action was not carried out\n")
        self.assertEqual(done.returncode, 125)

    def test_watch(self) -> None:
        with subprocess.Popen([*CLI, "watch"], env=self.environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch:
            self.addCleanup(watch.kill)
            assert watch.stdout is not None and watch.stderr is not None
            snapshot = [watch.stdout.readline() for _ in range(5)]
            time_of_day = rb"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "
            self.assertRegex(snapshot[0], time_of_day + rb"nap: down\n\Z")
            self.invoke(b"nap", b"start")
            self.invoke(b"nap", b"stop")
            self.daemon.note_pids()
            self.client.stop(PATIENCE)
            lines = re.sub(rb"pid \d+", b"pid N", watch.stdout.read()).splitlines()
            by = b"by pid N uid %d gid %d" % (os.geteuid(), os.getegid())
            self.assertEqual([line.partition(b" ")[2] for line in lines], [
                b"nap: starting, " + by, b"nap: running, pid N, " + by,
                b"nap: stopping, pid N, " + by, b"nap: down, ended with signal 15, " + by])
            self.assertRegex(watch.stderr.read(), rb"\AERROR: \(SHUTDOWN\) .*\n\Z")
            self.assertEqual(watch.wait(PATIENCE), 1)

    def test_watch_ends_when_nobody_reads(self) -> None:
        reader, writer = os.pipe()
        with subprocess.Popen([*CLI, "watch"], env=self.environment(), stdout=writer,
                              stderr=subprocess.PIPE) as watch:
            self.addCleanup(watch.kill)
            os.close(writer)
            os.read(reader, 1)
            os.close(reader)
            assert watch.stderr is not None
            self.assertEqual(watch.stderr.read(), b"")
            self.assertEqual(watch.wait(PATIENCE), 1)

    def test_output_that_nobody_reads(self) -> None:
        for words, status in ((["list"], 1), (["nap", "status"], 125)):
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([*CLI, *words], env=self.environment(), stdout=writer,
                                  stderr=subprocess.PIPE, timeout=PATIENCE)
            os.close(writer)
            self.assertEqual((done.returncode, done.stderr), (status, b""))

    def test_what_is_said_on_standard_error_is_escaped(self) -> None:
        result = self.run_cli(b"\x1b\xff", "status")
        self.assertEqual(result[:2], (125, b""))
        self.assertRegex(result.stderr, rb"\AERROR: \(NOPROG\) .*\\x1b\\xff\n\Z")
        self.assertIn(b"/\\u{1b}\\xff:", self.run_cli("-s", b"/\x1b\xff", "reload").stderr)

    def test_lines_of_a_watch(self) -> None:
        program = ProgramStatus(b"\xff\x1b", b"back-off", 8, (b"outdated", b"\x1b"))
        event = Changed(1000000000123, program, ExitStatus(ExitKind.EXITED, 3), b"no\nshell\xff",
                        Requester(1, 2, 3))
        with mock.patch.object(os, "isatty", return_value=False):
            self.assertEqual(
                procmgr_cli._watch_line(event),
                b"2001-09-09T01:46:40.123Z \xff\x1b: back-off, outdated, \\x1b, pid 8, "
                b"ended with exit status 3, by pid 1 uid 2 gid 3, not started: no\\nshell\\xff\n")
        with mock.patch.object(os, "isatty", return_value=True):
            event = Changed(1 << 63, program, pm.UNKNOWN_EXIT, None, None)
            self.assertEqual(
                procmgr_cli._watch_line(event),
                b"1970-01-01T00:00:00.000Z \\xff\\u{1b}: back-off, outdated, \\x1b, pid 8, "
                b"ended with an unknown status\n")
        self.assertEqual(procmgr_cli._moment(253402300799000), "9999-12-31T23:59:59.000Z")
        self.assertEqual(procmgr_cli._moment(253402300799001), "1970-01-01T00:00:00.000Z")

    def test_nonsense(self) -> None:
        for words in ([], ["nonsense"], ["nap"], ["-x", "ping"], ["-t", "soon", "ping"], ["-s"]):
            with self.subTest(words):
                result = self.run_cli(*words)
                self.assertEqual(result[:2], (2, b""))
                self.assertTrue(result.stderr.startswith(b"ERROR: "))

    def test_help(self) -> None:
        result = self.run_cli("--help")
        self.assertEqual((result.status, result.stderr), (0, b""))
        self.assertTrue(result.stdout.startswith(b"Usage: "))


if __name__ == "__main__":
    unittest.main()
