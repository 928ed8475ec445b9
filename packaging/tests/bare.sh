#!/bin/sh
# The static archive in a system without libraries, in which busybox is all that there is.
#
# It is played as those in common.sh are, by a shell that has less to offer.

set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/plain.sh"

# unpack FILE [FOLDER]: all of it, or what is in that folder.
unpack() {
    name=$(basename "$1" .tar.gz)
    tar -xz -C / --strip-components=1 -f "$1" "$name${2:+/$2}"
}

is 'the libraries' '' "$(find / -xdev -name '*.so*' -not -path '/proc/*')"

say 'unpacked, and started'
unpack /trial/old/*.tar.gz
former=$(procmgr -V)
cat >>/etc/procmgr.cfg <<'END'
[prog-nap]
suid-start = worker
allow-uid = worker
allow-gid = helpers
cmd-start = exec sleep 1000
END
is 'what is remarkable about the configuration' '/etc/procmgr.cfg: no findings' "$(procmgr --check)"
procmgr -d -P /run/procmgr.pid
daemon=$(cat /run/procmgr.pid)

say 'users and groups are those of the files'
procmgr nap start
nap=$(pid_of nap)
is 'the user' '1000 1000 1000 1000' "$(awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$nap/status")"
is 'the groups' '100 2000' "$(awk '/^Groups:/ { print $2, $3 }' "/proc/$nap/status")"
is 'what worker may do' nap "$(su worker -c 'procmgr --allowed' | sed 's/[: ].*//' | uniq)"
printf '[prog-lost]\nsuid-start = nobody-of-that-name\ncmd-start = :\n' >/tmp/lost.cfg
! procmgr -c /tmp/lost.cfg --check >/dev/null || fail 'a user that is in no file has been found'

say 'an upgrade: the same daemon process, the same program'
cp /etc/procmgr.cfg /tmp/kept.cfg
unpack /trial/new/*.tar.gz usr
cmp /etc/procmgr.cfg /tmp/kept.cfg || fail 'the configuration was replaced'
[ "$(procmgr -V)" != "$former" ] || fail 'the executable is the former one'
procmgr -u
is 'the daemon' "$daemon" "$(cat /run/procmgr.pid)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
is 'the PID' "$nap" "$(pid_of nap)"

say 'the daemon is killed; the next one takes over, and stops the program for the user who may'
kill -KILL "$daemon"
procmgr -d -P /run/procmgr.pid
is 'the list' 'nap: running adopted' "$(procmgr -a)"
is 'the PID' "$nap" "$(pid_of nap)"
su worker -c 'procmgr --idempotent nap stop' || is 'the status' 143 $?
is 'the list' 'nap: dead' "$(procmgr -a)"
procmgr -s
