#!/usr/bin/env python3
"""The command line of the client of procmgr in Python::

    procmgr_cli.py [-s PATH] [-c FILE] [-t SECONDS] ping|list|reload|stop|upgrade|watch
    procmgr_cli.py [-s PATH] [-c FILE] [-t SECONDS] PROGRAM ACTION [ARGUMENT...]

A single word is a request to the daemon, two words or more are an action on a program, so a program
may well be called `list`.  Options end at the first word that is none.  Standard output, standard
error and the exit status are as the section "What a client shows" of PROTOCOL.md says; the lines of
`list` and `watch` are those that stand there, too.
"""

from __future__ import annotations

import datetime
import getopt
import os
import select
import signal
import sys
import time
from typing import Callable, Optional, Sequence, Union

from procmgr_client import (Changed, Client, Exited, NoDaemon, NotSentInTime, ProcmgrError, Refusal,
                            Status, TimedOut, fill_standard_streams, find_socket, printable,
                            printable_ascii)

_USAGE = """Usage: procmgr_cli.py [OPTIONS] ping|list|reload|stop|upgrade|watch
       procmgr_cli.py [OPTIONS] PROGRAM ACTION [ARGUMENT...]

  -s, --socket PATH      the socket of the daemon
  -c, --config FILE      the configuration file that may name the socket
  -t, --timeout SECONDS  stop waiting after that time; what was asked for goes on
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
        _complain(f"{_harmless(str(error))}\n{_USAGE}".rstrip())
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
            _complain(str(error))
        return not_done
    except Refusal as refusal:
        _complain(str(refusal))
        return not_done
    except NotSentInTime as error:
        if len(words) == 1:
            _complain(str(error))
            return _GIVEN_UP
        _complain(f"{error}; the action was not carried out")
        return not_done
    except TimedOut as error:
        _complain(str(error))
        return _GIVEN_UP
    except BrokenPipeError:  # Nobody reads what there is to be read.
        return not_done
    except (ProcmgrError, OSError, ValueError) as error:
        _complain(_harmless(str(error)))
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
    programs = [(_shown(program.name), b" ".join(program.tokens))
                for program in client.list(timeout)]
    width = max((len(name.decode(errors="replace")) for name, _ in programs), default=0)
    lines = bytearray()
    for name, tokens in programs:
        padding = b" " * (width - len(name.decode(errors="replace")))
        lines += name + padding + b": " + _shown(tokens) + b"\n"
    _write(1, lines)
    return 0


def _reload(client: Client, timeout: Optional[float]) -> int:
    for remark in client.reload(timeout):
        _write(2, printable(remark).encode() + b"\n")
    return 0


def _stop(client: Client, timeout: Optional[float]) -> int:
    client.stop(timeout)
    return 0


def _upgrade(client: Client, timeout: Optional[float]) -> int:
    client.upgrade(timeout)
    return 0


def _watch(client: Client, timeout: Optional[float]) -> int:
    """Show each program, and then each change, until there are no more or nobody reads them; the
    time is for the beginning only.
    """
    subscription = client.subscribe(timeout)
    now = time.time_ns() // 1000000
    for program in subscription.programs:
        _write(1, _watch_line(Changed(now, program, None, None, None)))
    poll = select.poll()
    poll.register(client, select.POLLIN)
    poll.register(1, 0)
    while True:
        try:
            event = subscription.next(0)
        except TimedOut:
            if any(fd == 1 and found & select.POLLERR for fd, found in poll.poll()):
                return _NOT_DONE
        else:
            _write(1, _watch_line(event))


def _watch_line(event: Changed) -> bytes:
    program = event.program
    parts = [printable_ascii(word) for word in (program.state, *program.marks)]
    if program.pid is not None:
        parts.append(f"pid {program.pid}")
    if event.ended is not None:
        parts.append(f"ended with {event.ended}")
    if event.by is not None:
        parts.append(f"by pid {event.by.pid} uid {event.by.uid} gid {event.by.gid}")
    if event.failure is not None:
        parts.append("not started: " + printable(event.failure))
    line = f": {', '.join(parts)}\n".encode()
    return _moment(event.time).encode() + b" " + _shown(program.name) + line


def _moment(milliseconds: int) -> str:
    if milliseconds > _LAST_MOMENT:
        milliseconds = 0
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds") + "Z"


_LAST_MOMENT = 253402300799000  # 9999-12-31T23:59:59.000Z


def _invoke(client: Client, words: Sequence[bytes], timeout: Optional[float]) -> int:
    answer = client.invoke(words[0], words[1], words[2:], timeout=timeout)
    if isinstance(answer, Exited):
        return answer.status.shell
    if isinstance(answer, Status):
        _write(1, b"running\n" if answer.running else b"not running\n")
        return 0 if answer.running else 1
    return 0


_COMMANDS: dict[str, Callable[[Client, Optional[float]], int]] = {
    "ping": _ping, "list": _list, "reload": _reload, "stop": _stop, "upgrade": _upgrade,
    "watch": _watch}


def _shown(text: bytes) -> bytes:
    """Return a text as it goes to standard output: made harmless if that is a terminal."""
    return printable(text).encode() if os.isatty(1) else text


def _harmless(text: str) -> str:
    """Return a text of this program or of Python's, which may quote anything, made harmless."""
    return printable(text.encode("utf-8", "surrogateescape"))


def _complain(text: str) -> None:
    """Write a text, which is harmless, to standard error."""
    _write(2, f"ERROR: {text}\n".encode())


def _write(descriptor: int, data: Union[bytes, bytearray]) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest):]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
