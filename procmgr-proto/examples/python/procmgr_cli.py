#!/usr/bin/env python3
"""The command line of the client of procmgr in Python::

    procmgr_cli.py [-s PATH] [-c FILE] [-t SECONDS] ping|list|reload|stop|watch
    procmgr_cli.py [-s PATH] [-c FILE] [-t SECONDS] PROGRAM ACTION [ARGUMENT...]

A single word is a request to the daemon, two words or more are an action on a program, so a program
may well be called `list`.  Options end at the first word that is none.  Standard output, standard
error and the exit status are as the section "What a client shows" of PROTOCOL.md says; the lines of
`list` and `watch` are those of procmgr itself.
"""

from __future__ import annotations

import datetime
import getopt
import os
import signal
import sys
import time
from typing import Callable, Optional, Sequence, Union

from procmgr_client import (Changed, Client, Exited, NoDaemon, ProcmgrError, Refusal, Status,
                            TimedOut, fill_standard_streams, find_socket, printable)

_USAGE = """Usage: procmgr_cli.py [OPTIONS] ping|list|reload|stop|watch
       procmgr_cli.py [OPTIONS] PROGRAM ACTION [ARGUMENT...]

  -s, --socket PATH      the socket of the daemon
  -c, --config FILE      the configuration file that may name the socket
  -t, --timeout SECONDS  stop waiting after that time; the action goes on
  -h, --help             print this help
"""

_NOT_DONE, _NONSENSE, _GIVEN_UP, _NOT_INVOKED = 1, 2, 124, 125


def main(arguments: Sequence[str]) -> int:
    """Do what a command line says, and return the exit status."""
    fill_standard_streams()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    path = configuration = timeout = None
    try:
        options, words = getopt.getopt(list(arguments), "s:c:t:h",
                                       ["socket=", "config=", "timeout=", "help"])
        for option, value in options:
            if option in ("-s", "--socket"):
                path = value
            elif option in ("-c", "--config"):
                configuration = value
            elif option in ("-t", "--timeout"):
                timeout = _seconds(value)
            else:
                _write(1, _USAGE.encode())
                return 0
        if not words or len(words) == 1 and words[0] not in _COMMANDS:
            raise ValueError("a request, or a program and an action, is missing")
    except (getopt.GetoptError, ValueError) as error:
        _complain(f"{error}\n{_USAGE}".rstrip().encode("utf-8", "surrogateescape"))
        return _NONSENSE

    not_done = _NOT_DONE if len(words) == 1 else _NOT_INVOKED
    try:
        with Client(path if path is not None else find_socket(configuration), timeout) as client:
            if len(words) == 1:
                return _COMMANDS[words[0]](client, timeout)
            return _invoke(client, [os.fsencode(word) for word in words], timeout)
    except NoDaemon as error:
        if words == ["ping"]:
            _write(1, b"not running\n")
        else:
            _complain(str(error).encode())
        return not_done
    except Refusal as refusal:
        _complain(b"(" + refusal.code + b") " + refusal.text)
        return not_done
    except TimedOut as error:
        _complain(str(error).encode())
        return _GIVEN_UP
    except (ProcmgrError, OSError, ValueError) as error:
        _complain(str(error).encode("utf-8", "surrogateescape"))
        return not_done


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise ValueError(f"{text} is no number of seconds")
    return seconds


def _ping(client: Client, timeout: Optional[float]) -> int:
    client.ping(timeout)
    _write(1, b"running\n")
    return 0


def _list(client: Client, timeout: Optional[float]) -> int:
    programs = [(_shown(1, program.name), b" ".join(program.tokens))
                for program in client.list(timeout)]
    width = max((len(name.decode(errors="replace")) for name, _ in programs), default=0)
    lines = bytearray()
    for name, tokens in programs:
        padding = b" " * (width - len(name.decode(errors="replace")))
        lines += name + padding + b": " + _shown(1, tokens) + b"\n"
    _write(1, lines)
    return 0


def _reload(client: Client, timeout: Optional[float]) -> int:
    for remark in client.reload(timeout):
        _write(2, _shown(2, remark) + b"\n")
    return 0


def _stop(client: Client, timeout: Optional[float]) -> int:
    client.stop(timeout)
    return 0


def _watch(client: Client, timeout: Optional[float]) -> int:
    """Show each program, and then each change for as long as there are any; the time is for the
    beginning only.
    """
    subscription = client.subscribe(timeout)
    now = time.time_ns() // 1000000
    for program in subscription.programs:
        _write(1, _watch_line(Changed(now, program, None, None, None)))
    for event in subscription:
        _write(1, _watch_line(event))
    return _NOT_DONE


def _watch_line(event: Changed) -> bytes:
    program = event.program
    parts = [program.state, *program.marks]
    if program.pid is not None:
        parts.append(b"pid %d" % program.pid)
    if event.ended is not None:
        parts.append(f"ended with {event.ended}".encode())
    if event.by is not None:
        parts.append(b"by pid %d uid %d gid %d" % (event.by.pid, event.by.uid, event.by.gid))
    if event.failure is not None:
        parts.append(b"not started: " + event.failure)
    line = program.name + b": " + b", ".join(parts)
    return _moment(event.time).encode() + b" " + _shown(1, line) + b"\n"


def _moment(milliseconds: int) -> str:
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.isoformat(timespec="milliseconds") + "Z"


def _invoke(client: Client, words: Sequence[bytes], timeout: Optional[float]) -> int:
    answer = client.invoke(words[0], words[1], words[2:], timeout=timeout)
    if isinstance(answer, Exited):
        return answer.status.shell
    if isinstance(answer, Status):
        _write(1, b"running\n" if answer.running else b"not running\n")
        return 0 if answer.running else 1
    return 0


_COMMANDS: dict[str, Callable[[Client, Optional[float]], int]] = {
    "ping": _ping, "list": _list, "reload": _reload, "stop": _stop, "watch": _watch}


def _shown(descriptor: int, text: bytes, keep_line_feeds: bool = False) -> bytes:
    """Return a text as it is to be written: made harmless if that is to a terminal."""
    return printable(text, keep_line_feeds).encode() if os.isatty(descriptor) else text


def _complain(text: bytes) -> None:
    _write(2, b"ERROR: " + _shown(2, text, keep_line_feeds=True) + b"\n")


def _write(descriptor: int, data: Union[bytes, bytearray]) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest):]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
