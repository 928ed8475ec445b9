"""A client of procmgr, the process manager: a library in one file.

It is written from PROTOCOL.md alone, and needs Python 3.9 and its standard library.  It has two
layers.

1. *Messages* are frozen dataclasses.  `encode` makes the bytes of a frame out of one, `decode` does
   the reverse, and `FrameBuffer` cuts a stream of bytes into frames.  Nothing in this layer does
   any input or output, so it serves asyncio as well.
2. `Client` is a blocking connection to a daemon::

       with Client(find_socket()) as client:
           for program in client.list():
               print(printable(program.name), program.running)
           answer = client.invoke(b"web", b"start")

All names and texts are `bytes`, as they need not be UTF-8; `printable` makes them harmless for a
terminal.  The command line is in `procmgr_cli.py`.
"""

from __future__ import annotations

import array
import contextlib
import enum
import errno
import os
import select
import socket
import stat
import struct
import time
from collections import deque
from dataclasses import dataclass, field, fields
from typing import (Any, ClassVar, Deque, Iterable, Iterator, Mapping, NoReturn, Optional,
                    Sequence, Union)

VERSION = 1
"""The version of the protocol in which this client asks."""

MAXIMUM_LENGTH = 4 * 1024 * 1024
"""How many bytes the body of a frame may have, in every version."""

_LONGEST_END = 5.0
"""How many seconds a daemon that has closed its connections may take to be gone.  What takes longer
is a system manager, which has listened for it when the connection was made.
"""

DEFAULT_CONFIGURATION = "/etc/procmgr.cfg"
DEFAULT_SOCKET = "/var/run/procmgr"


# --- What can go wrong ---------------------------------------------------------------------------

class ProcmgrError(Exception):
    """The base of all errors of this module."""


class Fault(enum.Enum):
    """What is wrong with the bytes of a frame."""

    MAGIC = "magic"
    KIND = "kind"
    LENGTH = "length"
    SHORT = "short"
    VARIANT = "variant"
    MALFORMED = "malformed"


class FrameError(ProcmgrError):
    """These bytes are no frame of the protocol, or the body of the frame is no message."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class CannotConnect(ProcmgrError):
    """The socket of the daemon could not be reached."""


class NoDaemon(CannotConnect):
    """Nobody listens on the socket, so the daemon does not run."""


class ConnectionLost(ProcmgrError):
    """The connection ended before the answer.  Nobody knows whether the request was carried out."""


class SenselessAnswer(ProcmgrError):
    """The daemon has said what it may not say.  The connection is closed."""


class OtherVersion(ProcmgrError):
    """The daemon has answered in another version of the protocol.  The connection is closed."""


class TimedOut(ProcmgrError, TimeoutError):
    """The time that the caller has set is over.  What was asked for goes on."""


class NotSentInTime(TimedOut):
    """The time is over, and the daemon has not got all of the request, which is not carried out."""


class Refusal(ProcmgrError):
    """The daemon has refused a request, or ended a subscription or the whole connection.

    `code` is for programs, and may be one that this module does not know.  `text` is for people.
    `version` is that of the frame, which tells the highest version of the daemon if the code is
    VERSION.
    """

    def __init__(self, code: bytes, text: bytes, version: int = VERSION) -> None:
        super().__init__(f"({printable_ascii(code)}) {printable(text, keep_line_feeds=True)}")
        self.code = code
        self.text = text
        self.version = version


class Code:
    """The codes of refusals that version 1 names.  A later daemon may have others."""

    NOPROG = b"NOPROG"
    NOACTION = b"NOACTION"
    BADAUTH = b"BADAUTH"
    EPERM = b"EPERM"
    BUSY = b"BUSY"
    NOTRUNNING = b"NOTRUNNING"
    NOCMD = b"NOCMD"
    SPAWN = b"SPAWN"
    CANCELLED = b"CANCELLED"
    BADCONF = b"BADCONF"
    LIMIT = b"LIMIT"
    SHUTDOWN = b"SHUTDOWN"
    BADMSG = b"BADMSG"
    BADCMD = b"BADCMD"
    VERSION = b"VERSION"


class State:
    """The states of a program that version 1 names.  A later daemon may have others."""

    DOWN = b"down"
    STARTING = b"starting"
    RUNNING = b"running"
    STOPPING = b"stopping"
    RESTARTING = b"restarting"
    BACK_OFF = b"back-off"
    REMOVED = b"removed"


class Effect:
    """The effects of a reload that version 1 names.  A later daemon may have others."""

    ADDED = b"added"
    REMOVED = b"removed"
    CHANGED = b"changed"
    UNCHANGED = b"unchanged"


# --- Values: how the types of the protocol are written and read ----------------------------------

class _Body:
    """The bytes of a body, from the beginning of which values are taken one by one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def left(self) -> int:
        """Return how many bytes have not been taken yet."""
        return len(self._data) - self._position

    def take(self, count: int) -> bytes:
        """Take that many bytes."""
        if count > self.left():
            raise FrameError(Fault.MALFORMED, f"{count} bytes expected, {self.left()} left")
        start, self._position = self._position, self._position + count
        return self._data[start:self._position]


class _Type:
    """A type of the protocol: it appends a value to a body, and takes one from it."""

    def write(self, out: bytearray, value: Any) -> None:
        raise NotImplementedError

    def read(self, body: _Body) -> Any:
        raise NotImplementedError


class _Integer(_Type):
    def __init__(self, size: int) -> None:
        self._size = size

    def write(self, out: bytearray, value: int) -> None:
        out += value.to_bytes(self._size, "little")

    def read(self, body: _Body) -> int:
        return int.from_bytes(body.take(self._size), "little")


_U8, _U32, _U64 = _Integer(1), _Integer(4), _Integer(8)


class _Bool(_Type):
    def write(self, out: bytearray, value: bool) -> None:
        out.append(1 if value else 0)

    def read(self, body: _Body) -> bool:
        byte = _U8.read(body)
        if byte > 1:
            raise FrameError(Fault.MALFORMED, f"the byte {byte} is neither 0 nor 1")
        return byte == 1


_BOOL = _Bool()


class _Text(_Type):
    def write(self, out: bytearray, value: bytes) -> None:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"names and texts are bytes, not {type(value).__name__}")
        _U64.write(out, len(value))
        out += value

    def read(self, body: _Body) -> bytes:
        return body.take(_U64.read(body))


_TEXT = _Text()


class _List(_Type):
    def __init__(self, item: _Type) -> None:
        self._item = item

    def write(self, out: bytearray, value: Sequence[Any]) -> None:
        _U64.write(out, len(value))
        for item in value:
            self._item.write(out, item)

    def read(self, body: _Body) -> tuple[Any, ...]:
        count = _U64.read(body)
        if count > body.left():
            raise FrameError(Fault.MALFORMED, f"{count} items cannot be in {body.left()} bytes")
        return tuple(self._item.read(body) for _ in range(count))


class _Option(_Type):
    def __init__(self, value: _Type) -> None:
        self._value = value

    def write(self, out: bytearray, value: Any) -> None:
        _BOOL.write(out, value is not None)
        if value is not None:
            self._value.write(out, value)

    def read(self, body: _Body) -> Any:
        return self._value.read(body) if _BOOL.read(body) else None


class _Structure(_Type):
    """The fields of a dataclass, each of which was made by `_wire`, in their order."""

    def __init__(self, of: type[Any]) -> None:
        self._of = of
        self._fields = [(f.name, f.metadata["wire"]) for f in fields(of)]

    def write(self, out: bytearray, value: Any) -> None:
        for name, wire in self._fields:
            wire.write(out, getattr(value, name))

    def read(self, body: _Body) -> Any:
        return self._of(*[wire.read(body) for _, wire in self._fields])


def _wire(wire: _Type) -> Any:
    """Return a field of a dataclass that tells how it is written."""
    return field(metadata={"wire": wire})


class ExitKind(enum.IntEnum):
    """How a process has ended."""

    EXITED = 0
    KILLED = 1
    UNKNOWN = 2


@dataclass(frozen=True)
class ExitStatus:
    """How a process has ended, and the status or the number of the signal that goes with it."""

    kind: ExitKind
    number: int

    @property
    def shell(self) -> int:
        """The exit status of a client that hands this on: that of a process killed is 128 + N, but
        255 at most.
        """
        if self.kind is ExitKind.EXITED:
            return self.number
        if self.kind is ExitKind.KILLED:
            return min(128 + self.number, 255)
        return 125

    def __str__(self) -> str:
        if self.kind is ExitKind.UNKNOWN:
            return "an unknown status"
        return f"{'exit status' if self.kind is ExitKind.EXITED else 'signal'} {self.number}"


UNKNOWN_EXIT = ExitStatus(ExitKind.UNKNOWN, 0)


class _ExitStatus(_Type):
    def write(self, out: bytearray, value: ExitStatus) -> None:
        _U32.write(out, value.kind)
        _U8.write(out, value.number)

    def read(self, body: _Body) -> ExitStatus:
        kind, number = _U32.read(body), _U8.read(body)
        return ExitStatus(ExitKind(kind), number) if kind < ExitKind.UNKNOWN else UNKNOWN_EXIT


@dataclass(frozen=True)
class ListedProgram:
    """A program as `list` tells it; the first token is `running` or `dead`."""

    name: bytes = _wire(_TEXT)
    tokens: tuple[bytes, ...] = _wire(_List(_TEXT))

    @property
    def running(self) -> bool:
        """Whether the program has a main process."""
        return self.tokens[:1] == (b"running",)


@dataclass(frozen=True)
class ProgramStatus:
    """A program as a subscription tells it."""

    name: bytes = _wire(_TEXT)
    state: bytes = _wire(_TEXT)
    pid: Optional[int] = _wire(_Option(_U32))
    marks: tuple[bytes, ...] = _wire(_List(_TEXT))

    @property
    def running(self) -> bool:
        """Whether the program has a main process.  It is the PID that tells so, as a later daemon
        may have more states.
        """
        return self.pid is not None


@dataclass(frozen=True)
class Requester:
    """Who has asked for what an event tells."""

    pid: int = _wire(_U32)
    uid: int = _wire(_U32)
    gid: int = _wire(_U32)


@dataclass(frozen=True)
class PastExit:
    """How a main process has ended; `time` counts milliseconds since the beginning of 1970."""

    status: ExitStatus = _wire(_ExitStatus())
    time: int = _wire(_U64)


@dataclass(frozen=True)
class InspectedProgram:
    """A program and what it has gone through.  Times count milliseconds since the beginning of
    1970; `restarts` are those that nobody has asked for, since somebody has asked for a start.
    """

    program: ProgramStatus = _wire(_Structure(ProgramStatus))
    since: Optional[int] = _wire(_Option(_U64))
    restarts: int = _wire(_U32)
    last_exit: Optional[PastExit] = _wire(_Option(_Structure(PastExit)))
    next_start: Optional[int] = _wire(_Option(_U64))


@dataclass(frozen=True)
class PreviewedProgram:
    """What a reload would do to a program; `effect` is one of those of `Effect`, as a rule."""

    name: bytes = _wire(_TEXT)
    effect: bytes = _wire(_TEXT)
    keys: tuple[bytes, ...] = _wire(_List(_TEXT))
    pid: Optional[int] = _wire(_Option(_U32))
    outdated: bool = _wire(_BOOL)


@dataclass(frozen=True)
class Permission:
    """The actions on a program that the client may perform."""

    program: bytes = _wire(_TEXT)
    actions: tuple[bytes, ...] = _wire(_List(_TEXT))


# --- Messages ------------------------------------------------------------------------------------

class Kind(enum.IntEnum):
    """What a frame is."""

    REQUEST = 1
    RESPONSE = 2
    EVENT = 3


@dataclass(frozen=True)
class Message:
    """The base of all messages.  A subclass says its kind, its number, and how many descriptors
    come with it.
    """

    KIND: ClassVar[Kind]
    NUMBER: ClassVar[int]
    DESCRIPTORS: ClassVar[int] = 0


class Response(Message):
    """The base of all responses."""

    KIND = Kind.RESPONSE


class Event(Message):
    """The base of all events."""

    KIND = Kind.EVENT


class Request(Message):
    """The base of all requests; each says which responses suit it, beside `Refused`."""

    KIND = Kind.REQUEST
    ANSWERS: ClassVar[tuple[type[Response], ...]]


@dataclass(frozen=True)
class Refused(Response):
    """The request was not carried out."""

    NUMBER = 0
    code: bytes = _wire(_TEXT)
    text: bytes = _wire(_TEXT)


@dataclass(frozen=True)
class Done(Response):
    """The request was carried out, and there is nothing to tell."""

    NUMBER = 1


@dataclass(frozen=True)
class Exited(Response):
    """The process that the request waited for has ended."""

    NUMBER = 2
    status: ExitStatus = _wire(_ExitStatus())


@dataclass(frozen=True)
class Status(Response):
    """Whether the program has a main process."""

    NUMBER = 3
    running: bool = _wire(_BOOL)


@dataclass(frozen=True)
class Programs(Response):
    """All programs."""

    NUMBER = 4
    programs: tuple[ListedProgram, ...] = _wire(_List(_Structure(ListedProgram)))


@dataclass(frozen=True)
class Reloaded(Response):
    """The configuration was read; these are the remarks about it."""

    NUMBER = 5
    remarks: tuple[bytes, ...] = _wire(_List(_TEXT))


@dataclass(frozen=True)
class Subscribed(Response):
    """The subscription has begun; this is what each program is at this moment."""

    NUMBER = 6
    programs: tuple[ProgramStatus, ...] = _wire(_List(_Structure(ProgramStatus)))


@dataclass(frozen=True)
class Inspected(Response):
    """All programs, with what each has gone through."""

    NUMBER = 7
    programs: tuple[InspectedProgram, ...] = _wire(_List(_Structure(InspectedProgram)))


@dataclass(frozen=True)
class Previewed(Response):
    """What a reload would change, and the remarks about the configuration."""

    NUMBER = 8
    programs: tuple[PreviewedProgram, ...] = _wire(_List(_Structure(PreviewedProgram)))
    remarks: tuple[bytes, ...] = _wire(_List(_TEXT))


@dataclass(frozen=True)
class Permitted(Response):
    """What the client may do."""

    NUMBER = 9
    permissions: tuple[Permission, ...] = _wire(_List(_Structure(Permission)))


@dataclass(frozen=True)
class Ping(Request):
    """Asks whether the daemon answers."""

    NUMBER = 0
    ANSWERS = (Done,)


@dataclass(frozen=True)
class List(Request):
    """Asks for the programs."""

    NUMBER = 1
    ANSWERS = (Programs,)


@dataclass(frozen=True)
class Stop(Request):
    """Asks the daemon to end."""

    NUMBER = 2
    ANSWERS = (Done,)


@dataclass(frozen=True)
class Reload(Request):
    """Asks the daemon to read its configuration again."""

    NUMBER = 3
    ANSWERS = (Reloaded,)


@dataclass(frozen=True)
class Invoke(Request):
    """Asks for an action on a program, and brings the standard streams of the script."""

    NUMBER = 4
    DESCRIPTORS = 3
    ANSWERS = (Done, Exited, Status)
    program: bytes = _wire(_TEXT)
    action: bytes = _wire(_TEXT)
    arguments: tuple[bytes, ...] = _wire(_List(_TEXT))


@dataclass(frozen=True)
class Subscribe(Request):
    """Asks to be told of every change of a program."""

    NUMBER = 5
    ANSWERS = (Subscribed,)


@dataclass(frozen=True)
class Upgrade(Request):
    """Asks the daemon to execute its executable anew, in place."""

    NUMBER = 6
    ANSWERS = (Done,)


@dataclass(frozen=True)
class Inspect(Request):
    """Asks for the programs, with what each has gone through."""

    NUMBER = 7
    ANSWERS = (Inspected,)


@dataclass(frozen=True)
class Preview(Request):
    """Asks what a reload would change."""

    NUMBER = 8
    ANSWERS = (Previewed,)


@dataclass(frozen=True)
class Permissions(Request):
    """Asks what the client may do."""

    NUMBER = 9
    ANSWERS = (Permitted,)


@dataclass(frozen=True)
class Changed(Event):
    """A program has changed; `time` counts milliseconds since the beginning of 1970."""

    NUMBER = 0
    time: int = _wire(_U64)
    program: ProgramStatus = _wire(_Structure(ProgramStatus))
    ended: Optional[ExitStatus] = _wire(_Option(_ExitStatus()))
    failure: Optional[bytes] = _wire(_Option(_TEXT))
    by: Optional[Requester] = _wire(_Option(_Structure(Requester)))


_MESSAGES: tuple[type[Message], ...] = (
    Ping, List, Stop, Reload, Invoke, Subscribe, Upgrade, Inspect, Preview, Permissions,
    Refused, Done, Exited, Status, Programs, Reloaded, Subscribed, Inspected, Previewed, Permitted,
    Changed,
)
_BODIES = {(message.KIND, message.NUMBER): _Structure(message) for message in _MESSAGES}
_FROZEN = frozenset(message.NUMBER for message in (Refused, Done, Programs, Reloaded))
"""The responses that are the same in every version."""


# --- Frames --------------------------------------------------------------------------------------

_MAGIC = b"PMGR"
_HEADER = struct.Struct("<4sHBBII")


@dataclass(frozen=True)
class Frame:
    """A header, all fields of it but the magic and the length, and the bytes of the body."""

    kind: Kind
    id: int
    body: bytes
    descriptors: int = 0
    version: int = VERSION

    @classmethod
    def of(cls, message: Message, id: int, version: int = VERSION) -> Frame:
        """Return the frame of a message."""
        body = bytearray()
        _U32.write(body, message.NUMBER)
        _BODIES[message.KIND, message.NUMBER].write(body, message)
        return cls(message.KIND, id, bytes(body), message.DESCRIPTORS, version)

    def encode(self) -> bytes:
        """Return the bytes of the frame, or raise a `FrameError` if the body is too long."""
        _check_length(len(self.body))
        header = _HEADER.pack(_MAGIC, self.version, self.kind, self.descriptors, self.id,
                              len(self.body))
        return header + self.body

    @property
    def number(self) -> int:
        """The number of the message."""
        return int(_U32.read(_Body(self.body)))

    def message(self) -> Message:
        """Return the message that the body is in version 1, or raise a `FrameError`."""
        body = _Body(self.body)
        number = _U32.read(body)
        if (self.kind, number) not in _BODIES:
            kind = self.kind.name.lower()
            raise FrameError(Fault.VARIANT, f"there is no {kind} of the number {number}")
        message: Message = _BODIES[self.kind, number].read(body)
        if body.left():
            raise FrameError(Fault.MALFORMED, f"{body.left()} bytes are behind the message")
        return message


def encode(message: Message, id: int, version: int = VERSION) -> bytes:
    """Return the bytes of the frame of a message."""
    return Frame.of(message, id, version).encode()


def decode(data: bytes) -> Frame:
    """Return the frame that these bytes are, which must be one frame and nothing else."""
    buffer = FrameBuffer(data)
    frame = buffer.next()
    if frame is None:
        raise FrameError(Fault.SHORT, "the frame is not complete")
    if buffer.pending():
        raise FrameError(Fault.MALFORMED, "there is something behind the frame")
    return frame


class FrameBuffer:
    """Cuts a stream of bytes, which comes in pieces of any size, into frames."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)

    def feed(self, data: bytes) -> None:
        """Append bytes."""
        self._data += data

    def pending(self) -> int:
        """Return how many bytes have not become a frame yet."""
        return len(self._data)

    def next(self) -> Optional[Frame]:
        """Take the next frame, or return None if more bytes are needed; raise a `FrameError` if
        there is no hope.
        """
        if len(self._data) < _HEADER.size:
            return None
        magic, version, kind, descriptors, id, length = _HEADER.unpack_from(self._data)
        if magic != _MAGIC:
            raise FrameError(Fault.MAGIC, "this is not the protocol of procmgr")
        if kind not in tuple(Kind):
            raise FrameError(Fault.KIND, f"there are no frames of the kind {kind}")
        _check_length(length)
        end = _HEADER.size + length
        if len(self._data) < end:
            return None
        body = bytes(memoryview(self._data)[_HEADER.size:end])
        del self._data[:end]
        return Frame(Kind(kind), id, body, descriptors, version)


def _check_length(length: int) -> None:
    if length > MAXIMUM_LENGTH:
        raise FrameError(Fault.LENGTH, f"a body has {length} bytes, and may have {MAXIMUM_LENGTH}")


# --- Showing texts -------------------------------------------------------------------------------

def printable(text: bytes, keep_line_feeds: bool = False) -> str:
    """Return a text as it may be shown on a terminal: control characters and what is not UTF-8 are
    escaped ("as text").
    """
    def escape(character: str) -> str:
        code = ord(character)
        if 0xdc80 <= code <= 0xdcff:  # a byte that is not UTF-8, as surrogateescape tells it
            return f"\\x{code - 0xdc00:02x}"
        if code < 0x20 or 0x7f <= code < 0xa0:
            if character == "\n" and keep_line_feeds:
                return character
            return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(character, f"\\u{{{code:x}}}")
        return character

    return "".join(map(escape, text.decode("utf-8", "surrogateescape")))


def printable_ascii(text: bytes) -> str:
    """Return a word of the protocol, such as a code, state or mark, as it may be shown anywhere:
    all but ASCII is escaped, and so are backslashes and quotes ("as ASCII").
    """
    def escape(byte: int) -> str:
        if byte in b"\t\n\r":
            return {9: "\\t", 10: "\\n", 13: "\\r"}[byte]
        if byte in b"\\'\"":
            return f"\\{byte:c}"
        return f"{byte:c}" if 0x20 <= byte <= 0x7e else f"\\x{byte:02x}"

    return "".join(map(escape, text))


# --- Where the socket is -------------------------------------------------------------------------

def find_socket(configuration: Optional[str] = None,
                environment: Mapping[str, str] = os.environ) -> str:
    """Return the path of the daemon's socket, for a user who has named none.

    `configuration` is the configuration file that the user has named.  A file that was named, here
    or by the environment, and cannot be read raises an `OSError`; an empty `socket-path` raises a
    `ValueError`.
    """
    if environment.get("PROCMGR_SOCKET"):
        return environment["PROCMGR_SOCKET"]
    named = configuration
    if named is None:
        named = environment.get("PROCMGR_CONFFILE") or None
    try:
        with open(DEFAULT_CONFIGURATION if named is None else named, "rb") as file:
            path = _socket_path(file)
    except (FileNotFoundError, PermissionError):
        if named is not None:
            raise
        path = None
    if path == b"":
        raise ValueError("the socket-path of the configuration is empty")
    return DEFAULT_SOCKET if path is None else os.fsdecode(path)


def _socket_path(lines: Iterable[bytes]) -> Optional[bytes]:
    """Return the last `socket-path` ahead of the first section of a configuration."""
    path = None
    for number, line in enumerate(lines):
        line = line[3:] if number == 0 and line.startswith(b"\xef\xbb\xbf") else line
        line = line.strip()
        if line.startswith(b"[") and line.endswith(b"]"):
            break
        key, separator, value = line.partition(b"=")
        if separator and key.rstrip() == b"socket-path":
            path = value.lstrip()
    return path


# --- A connection --------------------------------------------------------------------------------

def fill_standard_streams() -> None:
    """Open the null device in place of each of the descriptors 0, 1 and 2 that is closed."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


class _Deadline:
    """A moment after which nobody waits any more; there is none if the time is None."""

    def __init__(self, timeout: Optional[float]) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    def wait(self, descriptor: int, events: int) -> None:
        """Wait until one of the events of `poll` has happened, or raise `TimedOut`."""
        poll = select.poll()
        poll.register(descriptor, events)
        left = None
        if self._end is not None:
            left = max(0.0, self._end - time.monotonic()) * 1000
        if not poll.poll(left):
            raise TimedOut("there was no answer in time; what was asked for goes on")

    def wait_at_most(self, seconds: float, descriptor: int, events: int) -> None:
        """Wait as `wait` does, but give up after that time without a word."""
        end = time.monotonic() + seconds
        if self._end is not None and self._end <= end:
            self.wait(descriptor, events)
        else:
            with contextlib.suppress(TimedOut):
                _Deadline(seconds).wait(descriptor, events)


class Client:
    """A blocking connection to a daemon.

    `ping`, `list`, `reload`, `stop`, `upgrade` and `invoke` make a request and wait for its answer.
    Who has several requests to make at once uses `begin`, and then `wait` or `next_answer`: answers
    come in any order, and those that nobody has waited for are kept.  A refusal is raised as a
    `Refusal`.

    A `timeout` is in seconds, and None is for ever.  After a `TimedOut` the answer may still come,
    and `wait` may be called once more; who does not want it any more closes the connection.  Only a
    request that could not even be sent in time closes it at once.

    An object of this class is for one thread at a time.  Its `fileno` is readable when an answer or
    an event comes, but for those that the object has read already.
    """

    def __init__(self, path: Union[str, bytes], timeout: Optional[float] = None) -> None:
        fill_standard_streams()  # Otherwise the socket might get the number of a closed one.
        self._buffer = FrameBuffer()
        self._requests: dict[int, Request] = {}  # those that are under way
        self._answers: dict[int, tuple[Response, int]] = {}  # not fetched yet, with their versions
        self._subscription: Optional[Subscription] = None
        self._last_id = 0
        self._ended = False  # Nothing more is to be read.
        self._failure: Optional[ProcmgrError] = None  # why there will be no more answers
        self._socket = _connect(path, timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection.  What was asked for goes on."""
        self._socket.close()
        self._failure = self._failure or ConnectionLost("the connection is closed")

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    # Requests, one at a time.

    def ping(self, timeout: Optional[float] = None) -> None:
        """Return if the daemon answers."""
        self._ask(Ping(), timeout)

    def list(self, timeout: Optional[float] = None) -> tuple[ListedProgram, ...]:
        """Return all programs."""
        answer = self._ask(List(), timeout)
        assert isinstance(answer, Programs)
        return answer.programs

    def reload(self, timeout: Optional[float] = None) -> tuple[bytes, ...]:
        """Have the daemon read its configuration again, and return its remarks about it."""
        answer = self._ask(Reload(), timeout)
        assert isinstance(answer, Reloaded)
        return answer.remarks

    def stop(self, timeout: Optional[float] = None) -> None:
        """End the daemon, and return when its process is gone, as far as that can be known."""
        deadline = _Deadline(timeout)
        process = self._daemon_process()
        try:
            id = self._begin(Stop(), (), deadline)
            try:
                self._wait(id, deadline)
            except ConnectionLost:
                pass  # Somebody else has ended the daemon at the same time.
            while not self._ended and self._socket.fileno() >= 0:
                deadline.wait(self._socket.fileno(), select.POLLIN)
                self._fetch()
            if process is not None:
                deadline.wait_at_most(_LONGEST_END, process, select.POLLIN)
        finally:
            if process is not None:
                os.close(process)

    def upgrade(self, timeout: Optional[float] = None) -> None:
        """Have the daemon execute its executable anew, in place, and return when the new one
        serves, on this connection as well.
        """
        self._ask(Upgrade(), timeout)

    def inspect(self, timeout: Optional[float] = None) -> tuple[InspectedProgram, ...]:
        """Return all programs, with what each has gone through."""
        answer = self._ask(Inspect(), timeout)
        assert isinstance(answer, Inspected)
        return answer.programs

    def preview(self, timeout: Optional[float] = None) -> Previewed:
        """Return what `reload` would change, and change nothing."""
        answer = self._ask(Preview(), timeout)
        assert isinstance(answer, Previewed)
        return answer

    def permissions(self, timeout: Optional[float] = None) -> tuple[Permission, ...]:
        """Return what this process may do: the programs, and of each the actions."""
        answer = self._ask(Permissions(), timeout)
        assert isinstance(answer, Permitted)
        return answer.permissions

    def invoke(self, program: bytes, action: bytes, arguments: Sequence[bytes] = (),
               stdin: int = 0, stdout: int = 1, stderr: int = 2,
               timeout: Optional[float] = None) -> Union[Done, Exited, Status]:
        """Have an action performed on a program, with any three descriptors as standard streams of
        the script.
        """
        deadline = _Deadline(timeout)
        request = Invoke(program, action, tuple(arguments))
        answer = self._wait(self._begin(request, (stdin, stdout, stderr), deadline), deadline)
        assert isinstance(answer, (Done, Exited, Status))
        return answer

    def subscribe(self, timeout: Optional[float] = None) -> Subscription:
        """Ask to be told of every change of a program."""
        deadline = _Deadline(timeout)
        id = self._begin(Subscribe(), (), deadline)
        self._wait(id, deadline)
        assert self._subscription is not None
        return self._subscription

    # Requests, many at a time.

    def begin(self, request: Request, descriptors: Sequence[int] = (),
              timeout: Optional[float] = None) -> int:
        """Send a request and return its id, by which `wait` gets the answer."""
        return self._begin(request, descriptors, _Deadline(timeout))

    def wait(self, id: int, timeout: Optional[float] = None) -> Response:
        """Return the answer to the request with this id, or raise it if it is a refusal."""
        return self._wait(id, _Deadline(timeout))

    def next_answer(self, timeout: Optional[float] = None) -> tuple[int, Response]:
        """Return the id of any answered request, and its answer, which may be a `Refused`."""
        deadline = _Deadline(timeout)
        while not self._answers:
            if not self._requests:
                raise ValueError("no request is under way")
            self._advance(deadline)
        id = next(iter(self._answers))
        return id, self._answers.pop(id)[0]

    # The machinery.

    def _ask(self, request: Request, timeout: Optional[float]) -> Response:
        deadline = _Deadline(timeout)
        return self._wait(self._begin(request, (), deadline), deadline)

    def _wait(self, id: int, deadline: _Deadline) -> Response:
        while id not in self._answers:
            if id not in self._requests:
                raise ValueError(f"no request with the id {id} is under way")
            self._advance(deadline)
        answer, version = self._answers.pop(id)
        if isinstance(answer, Refused):
            raise Refusal(answer.code, answer.text, version)
        return answer

    def _begin(self, request: Request, descriptors: Sequence[int], deadline: _Deadline) -> int:
        if len(descriptors) != request.DESCRIPTORS:
            raise ValueError(f"this request brings {request.DESCRIPTORS} descriptors")
        if self._failure is not None:
            raise self._failure
        id = self._free_id()
        data = encode(request, id)
        self._requests[id] = request
        try:
            self._send(data, descriptors, deadline)
        except BaseException:
            del self._requests[id]
            raise
        return id

    def _free_id(self) -> int:
        taken = {*self._requests, *self._answers}
        if self._subscription is not None:
            taken.add(self._subscription.id)
        while True:
            self._last_id = self._last_id % 0xffffffff + 1
            if self._last_id not in taken:
                return self._last_id

    def _send(self, data: bytes, descriptors: Sequence[int], deadline: _Deadline) -> None:
        """Send a frame, with the descriptors at its first byte, and read meanwhile what the daemon
        has to say.

        Otherwise a client with many requests and a daemon with many answers would wait for each
        other.  If the connection has ended, nothing is raised: what the daemon has said before it
        is still to be read.
        """
        rest = memoryview(data)
        control = []
        if descriptors:
            rights = array.array("i", descriptors)
            control.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, rights))
        try:
            while rest:
                try:
                    sent = self._socket.sendmsg([rest], control, socket.MSG_NOSIGNAL)
                    rest, control = rest[sent:], []
                except BlockingIOError:
                    deadline.wait(self._socket.fileno(), select.POLLIN | select.POLLOUT)
                    self._fetch()
        except (BrokenPipeError, ConnectionResetError):
            pass
        except TimedOut:
            self.close()
            raise NotSentInTime("the daemon has not taken the request in time") from None
        except BaseException:
            if len(rest) < len(data):
                self.close()  # Half a frame was sent, behind which no other can follow.
            raise

    def _fetch(self) -> None:
        """Read what there is, without waiting."""
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self._buffer.feed(data)
        self._ended = not data

    def _advance(self, deadline: _Deadline) -> None:
        """Read one frame and put it to where it belongs, or raise why there will be none."""
        while self._failure is None:
            try:
                frame = self._buffer.next()
                if frame is not None:
                    self._dispatch(frame)
                    return
            except FrameError as error:
                self._fail(SenselessAnswer(f"the answer of the daemon makes no sense: {error}"))
            if self._ended:
                self._fail(ConnectionLost("the connection was lost before the answer"))
            deadline.wait(self._socket.fileno(), select.POLLIN)
            self._fetch()
        raise self._failure

    def _fail(self, failure: ProcmgrError) -> NoReturn:
        """Close the connection, and raise this for whatever is under way or follows."""
        self._failure = failure
        self._socket.close()
        raise failure

    def _dispatch(self, frame: Frame) -> None:
        if frame.kind is Kind.REQUEST:
            raise FrameError(Fault.KIND, "a daemon makes no requests")
        if frame.kind is Kind.EVENT:
            self._dispatch_event(frame)
        else:
            self._dispatch_response(frame)

    def _dispatch_event(self, frame: Frame) -> None:
        if frame.version != VERSION:
            self._fail(OtherVersion(f"the daemon speaks version {frame.version} of the protocol"))
        try:
            event = frame.message()
        except FrameError as error:
            if error.fault is Fault.VARIANT:
                return  # It is of a later daemon.
            raise
        if self._subscription is None or self._subscription.id != frame.id:
            raise FrameError(Fault.MALFORMED, f"there is no subscription with the id {frame.id}")
        assert isinstance(event, Changed)
        self._subscription._events.append(event)

    def _dispatch_response(self, frame: Frame) -> None:
        response: Optional[Message] = None
        try:
            if frame.version == VERSION or frame.number in _FROZEN:
                response = frame.message()
        except FrameError:
            if frame.version == VERSION:
                raise
        if response is None:
            self._fail(OtherVersion(f"the daemon speaks version {frame.version} of the protocol"))
        assert isinstance(response, Response)
        if isinstance(response, Refused):
            refusal = Refusal(response.code, response.text, frame.version)
            if frame.id == 0:
                self._failure = refusal  # Behind it there is nothing but the end.
                raise refusal
            if self._subscription is not None and self._subscription.id == frame.id:
                self._subscription._end = self._subscription._end or refusal
                return
        request = self._requests.get(frame.id)
        if request is None:
            raise FrameError(Fault.MALFORMED, f"no request with the id {frame.id} is under way")
        if not isinstance(response, (Refused, *request.ANSWERS)):
            raise FrameError(Fault.MALFORMED, "the response does not suit the request")
        del self._requests[frame.id]
        self._answers[frame.id] = response, frame.version
        if isinstance(response, Subscribed):
            self._subscription = Subscription(self, frame.id, response.programs)

    def _daemon_process(self) -> Optional[int]:
        """Return a descriptor that is readable when the daemon is gone, if there is one."""
        if not hasattr(os, "pidfd_open") or self._socket.fileno() < 0:
            return None
        size = struct.calcsize("iII")
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, _, _ = struct.unpack("iII", credentials)
        try:
            process = os.pidfd_open(pid) if pid > 0 else None
        except OSError:
            return None
        self._fetch()
        # A daemon that lives keeps its PID; that of another may be a stranger's by now.
        if self._ended and process is not None:
            os.close(process)
            return None
        return process


class Subscription:
    """The changes of all programs, as an iterator of `Changed`; `programs` is what each was at the
    beginning.

    It has no end but an error: a `Refusal` if the daemon says why, such as with the code SHUTDOWN,
    or else `ConnectionLost`. It ends with its connection.
    """

    def __init__(self, client: Client, id: int, programs: tuple[ProgramStatus, ...]) -> None:
        self.id = id
        self.programs = programs
        self._client = client
        self._events: Deque[Changed] = deque()
        self._end: Optional[Refusal] = None

    def __iter__(self) -> Iterator[Changed]:
        return self

    def __next__(self) -> Changed:
        return self.next()

    def next(self, timeout: Optional[float] = None) -> Changed:
        """Return the next change."""
        deadline = _Deadline(timeout)
        while not self._events:
            if self._end is not None:
                raise self._end
            self._client._advance(deadline)
        return self._events.popleft()


def _connect(path: Union[str, bytes], timeout: Optional[float]) -> socket.socket:
    """Return a socket that is connected to the daemon's, and does not block."""
    path = os.fsencode(path)
    shown = printable(path)
    if not path or b"\0" in path:
        raise CannotConnect(f"{shown!r} is not the path of a socket")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if timeout is not None:  # To connect takes a while if many others do so.
            microseconds = max(1, round(timeout * 1000000))
            interval = struct.pack("@ll", *divmod(microseconds, 1000000))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
        connection.connect(path)
        connection.setblocking(False)
        return connection
    except BlockingIOError:
        connection.close()
        raise NotSentInTime(f"{shown} took up no connection in time") from None
    except OSError as error:
        connection.close()
        if error.errno == errno.ECONNREFUSED and not _may_be_socket(path):
            raise CannotConnect(f"cannot connect to {shown}: it is no socket") from error
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            raise NoDaemon(f"cannot connect to {shown}: no daemon runs there") from error
        raise CannotConnect(f"cannot connect to {shown}: {error.strerror or error}") from error


def _may_be_socket(path: bytes) -> bool:
    """Return whether this is the path of a socket, as far as that can be known."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True
