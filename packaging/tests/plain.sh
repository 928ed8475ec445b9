#!/bin/sh
# What all scenes have in common, those included that are played by a shell with less to offer than bash.

# Says what comes next.
say() {
    printf -- '-- %s\n' "$*"
}

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# is WHAT WANTED GOT
is() {
    [ "$3" = "$2" ] || fail "$1: wanted '$2', got '$3'"
}

# Prints the PID of a program, as the daemon tells it.
pid_of() {
    procmgr -a --json | sed -n 's/.*"program":"'"$1"'".*"pid":\([0-9]*\),.*/\1/p'
}
