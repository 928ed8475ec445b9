# What the scripts of the packages have in common; it is put into each of them.

has_systemd() {
    [ -d /run/systemd/system ]
}

is_active() {
    has_systemd && systemctl --quiet is-active "$1"
}

# The daemon of this system is meant, with the configuration that its service has, whatever the environment says.
unset PROCMGR_SOCKET PROCMGR_CONFFILE
if has_systemd; then
    config=$(systemctl show --value --property Environment procmgr.service 2>/dev/null | tr ' ' '\n' |
        sed -n 's/^PROCMGR_CONFFILE=//p') || :
else
    # shellcheck source=/dev/null
    config=$([ ! -r /etc/default/procmgr ] || . /etc/default/procmgr >/dev/null && echo "${CONFIG:-}") || :
fi
# The built-in one need not be there for clients.
[ ! -r "$config" ] || export PROCMGR_CONFFILE="$config"

# Whether a daemon runs: 0 if it answers, 1 if there is none, and something else if it does not answer, or not where the
# configuration says by now.
ask() {
    # With a socket that systemd keeps, asking would start what has been stopped.
    if is_active procmgr.socket && ! is_active procmgr.service; then return 1; fi
    answer=0
    procmgr --timeout 10 -q -t >/dev/null 2>&1 || answer=$?
    [ "$answer" -ne 1 ] || ! is_noted || answer=124
    return "$answer"
}

# Whether the daemon runs as far as systemd or the PID file of the init script tells.
is_noted() {
    if has_systemd; then
        is_active procmgr.service
    else
        case $(readlink "/proc/$(cat /run/procmgr.pid 2>/dev/null)/exe") in */procmgr | */procmgr\ *) ;; *) false ;; esac
    fi
}

# Whether the administrator lets packages do this to the service; without a policy everything may be done.
is_allowed() {
    [ -x /usr/sbin/policy-rc.d ] || return 0
    permission=0
    /usr/sbin/policy-rc.d procmgr "$1" >/dev/null 2>&1 || permission=$?
    [ "$permission" -ne 101 ]
}

# Has the daemon that runs go on as the new version, which no program notices.
go_on() {
    if ! is_allowed restart; then
        echo "procmgr: by policy, the daemon goes on as the former version" >&2
    elif reason=$(procmgr --timeout 20 -u 2>&1); then
        echo "procmgr: the daemon goes on as this version, and so does every program"
    else
        # Whatever else could be done to it is the administrator's to decide.
        echo "procmgr: the daemon goes on as the former version: ${reason:-it does not answer}" >&2
        echo "procmgr: restart it when it suits; programs run on, but clients that wait are turned away" >&2
    fi
}

# Ends a daemon that is there although its service is stopped: somebody has started it by hand.
stop_by_hand() {
    left=0
    ask || left=$?
    if [ "$left" -eq 1 ]; then
        return 0
    elif ! is_allowed stop; then
        echo "procmgr: by policy, the daemon goes on" >&2
    elif [ "$left" -ne 0 ] || ! procmgr --timeout 300 -s; then
        echo "procmgr: the daemon goes on, since it does not answer" >&2
    fi
}

# Says which programs run on without the daemon. Whether that runs does not matter: it is on record.
say_which_go_on() {
    folder=$(state_folder)
    # Each line has a process, and when it was started, as procmgrd/src/state/line.rs says; bytes stand there as characters.
    iconv -f UTF-8 -t LATIN1 "$folder/programs" 2>/dev/null |
        sed -n 's/^[0-9a-f]\{8\} 0*\([1-9][0-9]*\) 0*\([1-9][0-9]*\) {"program":\(.*\),"memory":{"running":.*/\1 \2 \3/p' |
        LC_ALL=C sort -u |
        while read -r pid started name; do
            # A process of that number that was started at another time is a stranger.
            [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d ' ' -f 20)" = "$started" ] || continue
            [ -n "${told:-}" ] || echo "procmgr: these programs go on:"
            told=yes
            echo "procmgr:   $name, pid $pid"
        done
}

# Prints where the daemon keeps its records.
state_folder() {
    folder=$(global_key state-path)
    socket=$(global_key socket-path)
    echo "${folder:-${socket:-/run/procmgr}.state}"
}

global_key() {
    sed -n "/^[[:space:]]*\[.*\][[:space:]]*\$/q; s/[[:space:]]*\$//; s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" \
        "${PROCMGR_CONFFILE:-/etc/procmgr.cfg}" 2>/dev/null | tail -n 1
}
