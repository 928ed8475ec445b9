# What the scripts of the packages have in common; it is put into each of them.

# The executable of this package is meant, too, and no other one of that name.
PATH=/usr/sbin:/usr/bin:/sbin:/bin

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
        return
    fi
    # By now the number may be that of another one, which does not keep this file.
    number=$(cat /run/procmgr.pid 2>/dev/null)
    case "$(readlink "/proc/$number/exe") $(tr '\0' ' ' 2>/dev/null <"/proc/$number/cmdline")" in
        */procmgr\ *"/run/procmgr.pid "*) ;;
        *) return 1 ;;
    esac
}

# Whether the administrator lets packages do this to the service; without a policy everything may be done.
is_allowed() {
    [ -x /usr/sbin/policy-rc.d ] || return 0
    permission=0
    /usr/sbin/policy-rc.d procmgr "$1" >/dev/null 2>&1 || permission=$?
    [ "$permission" -ne 101 ]
}

# Has the daemon that runs, and has answered like this when it was asked, go on as the new version, which no program
# notices.
go_on() {
    if ! is_allowed restart; then
        echo "procmgr: by policy, the daemon goes on as the former version" >&2
    elif [ "$1" -eq 0 ] && reason=$(procmgr --timeout 20 -u 2>&1); then
        # A daemon that was started from elsewhere goes on from there.
        executable=$(readlink "/proc/$(daemon)/exe") || :
        if [ "$executable" = /usr/bin/procmgr ]; then
            echo "procmgr: the daemon goes on as this version, and so does every program"
        else
            echo "procmgr: the daemon goes on, but not as this package has it:" \
                "it executes ${executable:-what nobody can tell}" >&2
        fi
    else
        # Whatever else could be done to it is the administrator's to decide.
        echo "procmgr: the daemon goes on as the former version: ${reason:-it does not answer}" >&2
        echo "procmgr: restart it when it suits; programs run on, but clients that wait are turned away" >&2
    fi
}

# stop_service COMMAND...: has systemd stop the service, by this command.
stop_service() {
    # A unit that is masked has lost its settings, and with them that programs outlive the daemon.
    case $(systemctl is-enabled procmgr.service 2>/dev/null) in
        masked) lifetime= ;;
        masked-runtime) lifetime=--runtime ;;
        *)
            "$@" >/dev/null || :
            return
            ;;
    esac
    systemctl --quiet $lifetime unmask procmgr.service
    if [ "$(systemctl show --value --property LoadState procmgr.service)" != loaded ]; then
        echo "procmgr: the service is masked, and to stop it would end every program: unmask it first" >&2
        exit 1
    fi
    "$@" >/dev/null || :
    systemctl --quiet $lifetime mask procmgr.service
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
    # Each line has a process, and when it was started, as procmgrd/src/state/line.rs says; bytes stand there as
    # characters.
    number='0*\([1-9][0-9]*\)'
    iconv -f UTF-8 -t LATIN1 "$folder/programs" 2>/dev/null |
        sed -n "s/^[0-9a-f]\{8\} $number $number {\"program\":\(.*\),\"memory\":{\"running\":.*/\1 \2 \3/p" |
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
    echo "${folder:-$(socket).state}"
}

# Prints the PID of the process that holds the lock beside the socket.
daemon() {
    lock=$(socket).lock
    inode=$(stat --format %i "$lock" 2>/dev/null) || return 0
    # On another file system another file may have the same number.
    sed -n "s/^[0-9]*: FLOCK *ADVISORY *WRITE \([0-9]*\) [^ ]*:$inode .*/\1/p" /proc/locks |
        while read -r pid; do
            ! find "/proc/$pid/fd" -lname "$lock" 2>/dev/null | grep -q . || echo "$pid"
        done
}

socket() {
    socket=$(global_key socket-path)
    echo "${socket:-/run/procmgr}"
}

global_key() {
    sed -n "/^[[:space:]]*\[.*\][[:space:]]*\$/q; s/[[:space:]]*\$//; s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" \
        "${PROCMGR_CONFFILE:-/etc/procmgr.cfg}" 2>/dev/null | tail -n 1
}
