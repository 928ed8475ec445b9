#!/bin/bash
# What the scenes have in common: how they say and ask things, and a real redis under procmgr.
#
# Each scene is played by root in a bare system of its own, with the packages of one version in /trial/old, and those of
# the next one in /trial/new.

set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/plain.sh"

# contains WHAT WANTED GOT
contains() {
    [[ $3 == *"$2"* ]] || fail "$1: wanted something with '$2', got '$3'"
}

# lacks WHAT UNWANTED GOT
lacks() {
    [[ $3 != *"$2"* ]] || fail "$1: wanted nothing with '$2', got '$3'"
}

# status WANTED COMMAND...: runs a command that is to end with that exit status.
status() {
    local wanted=$1 got=0 output
    shift
    output=$("$@" 2>&1) || got=$?
    [[ $got == "$wanted" ]] || fail "$*: wanted exit status $wanted, got $got: $output"
}

# eventually COMMAND...: waits until it succeeds, for half a minute at most.
eventually() {
    local end=$((SECONDS + 30))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "it has never come true: $*"
        sleep 0.05
    done
}

# Prints the PID of the process that holds the lock of the daemon.
daemon() {
    local fd
    for fd in /proc/[0-9]*/fd/*; do
        if [[ $(readlink "$fd" 2>/dev/null) == /run/procmgr.lock ]]; then
            cut -d/ -f3 <<<"$fd"
            return
        fi
    done
}

# frozen COMMAND...: runs it while the daemon does not answer.
frozen() {
    local daemon
    daemon=$(daemon)
    kill -STOP "$daemon"
    "$@"
    kill -CONT "$daemon"
}

# elsewhere COMMAND...: runs it in an environment that leads to another daemon.
elsewhere() {
    PROCMGR_SOCKET=/nowhere/socket PROCMGR_CONFFILE=/nowhere/file "$@"
}

SOCKET=/run/redis.sock

# Adds redis to the configuration, in the place of what a former call has added.
configure_redis() {
    sed -i '/^# scene/,$d' /etc/procmgr.cfg
    cat >>/etc/procmgr.cfg <<END
# scene
[prog-redis]
cwd = /tmp
cmd-start = exec redis-server --port 0 --unixsocket $SOCKET --dir /tmp --save "" </dev/null >>/tmp/redis.log 2>&1
END
}

ask_redis() {
    redis-cli -s "$SOCKET" "$@"
}

# Starts redis, gives it data, and connects to it, for good.
start_redis() {
    procmgr redis start
    eventually ask_redis ping
    ask_redis set kept 'all this time' >/dev/null
    coproc REDIS { exec redis-cli -s "$SOCKET"; }
    redis_connection=$(through_connection 'client id')
    redis_pid=$(pid_of redis)
    [[ -n $redis_pid ]] || fail 'redis has no PID'
}

# Asks redis through the connection that is held.
through_connection() {
    local answer
    printf '%s\n' "$1" >&"${REDIS[1]}"
    read -r -t 10 answer <&"${REDIS[0]}" || fail 'redis does not answer through the connection that was held'
    printf '%s\n' "$answer"
}

# Whatever was done: it is the same redis with its data, and the connection to it was never cut.
redis_went_on() {
    is 'the connection to redis' "$redis_connection" "$(through_connection 'client id')"
    is 'what redis keeps' 'all this time' "$(ask_redis get kept)"
    [[ -d /proc/$redis_pid ]] || fail 'redis is gone'
}

# What procmgr knows of redis: the same process, and these words in the list.
redis_is() {
    is 'the list' "redis: $1" "$(procmgr -a)"
    is 'the PID of redis' "$redis_pid" "$(pid_of redis)"
    redis_went_on
}

# Prints what of procmgr is left in the system, but for what the scene has brought.
leftovers() {
    find / -xdev \( -path /proc -o -path /sys -o -path /trial -o -path /dev \) -prune -o -name '*procmgr*' -print
    find /run /var/lib/systemd /etc/systemd -name '*procmgr*' 2>/dev/null || true
}
