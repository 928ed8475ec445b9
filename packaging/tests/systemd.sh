#!/bin/bash
# The package of Debian under a real systemd, which has booted the system.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

old=$(echo /trial/old/*.deb) new=$(echo /trial/new/*.deb)

main_pid() {
    systemctl show --value --property MainPID procmgr.service
}

is_active() {
    systemctl --quiet is-active "$1"
}

say 'installed, the daemon runs and is started at boot; its socket is not'
dpkg -i "$old" || fail 'it cannot be installed'
is 'the service' active "$(systemctl is-active procmgr.service)"
is 'the service' enabled "$(systemctl is-enabled procmgr.service)"
is 'the socket' disabled "$(systemctl is-enabled procmgr.socket || true)"
is 'what systemd says of the units' '' "$(systemd-analyze verify --man=no procmgr.service procmgr.socket 2>&1 |
    grep procmgr || true)"
is 'what systemd-tmpfiles says' '' "$(systemd-tmpfiles --create procmgr.conf 2>&1)"
is 'the folder of state' '700 root' "$(stat -c '%a %U' /run/procmgr.state)"

say 'a redis with data and a connection'
configure_redis
systemctl reload procmgr.service
start_redis
redis_is running
contains 'the status' '1 of 1' "$(systemctl show --value --property StatusText procmgr.service)"

say 'a file that cannot be used fails the reload, and changes nothing'
echo nonsense >>/etc/procmgr.cfg
status 1 systemctl reload procmgr.service
contains 'the journal' '/etc/procmgr.cfg:' "$(journalctl --no-pager --unit procmgr.service)"
configure_redis
systemctl reload procmgr.service

say 'an upgrade: the same daemon process, the same redis, the same connection'
daemon=$(main_pid)
elsewhere dpkg -i "$new" || fail 'it cannot be upgraded'
is 'the daemon' "$daemon" "$(main_pid)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
is 'the service' active "$(systemctl is-active procmgr.service)"
redis_is running

say 'a daemon that does not answer, or not where it is looked for, goes on as the former version, and that is told'
contains 'what is said' 'goes on as the former version' "$(frozen dpkg -i "$old" 2>&1)"
eventually procmgr -q -t
# If it had been asked to, it would have upgraded itself by then.
sleep 3
contains 'what the daemon executes' '(deleted)' "$(readlink "/proc/$daemon/exe")"
sed -i '1i socket-path = /run/other' /etc/procmgr.cfg
contains 'what is said' 'goes on as the former version' "$(dpkg -i "$new" 2>&1)"
sed -i 1d /etc/procmgr.cfg
is 'the daemon' "$daemon" "$(main_pid)"
redis_is running

say 'the service is restarted, and redis goes on'
systemctl restart procmgr.service
redis_is 'running adopted'

say 'the daemon is killed: systemd starts the next one, and redis goes on'
daemon=$(main_pid)
kill -KILL "$daemon"
eventually bash -c "[[ \$(systemctl show --value -p MainPID procmgr.service) != $daemon ]] && procmgr -q -t"
redis_is 'running adopted'

say 'a service that was disabled and stopped stays so over an upgrade'
systemctl --quiet disable --now procmgr.service
dpkg -i "$old" >/dev/null 2>&1 || fail 'it cannot be put back'
is_active procmgr.service && fail 'it was started'
redis_went_on

say 'the socket of systemd starts the daemon for whoever asks'
systemctl --quiet enable --now procmgr.socket
is_active procmgr.service && fail 'it was started'
dpkg -i "$new" >/dev/null 2>&1 || fail 'it cannot be upgraded'
is_active procmgr.service && fail 'the upgrade has started it'
redis_is 'running adopted'
is_active procmgr.service || fail 'it was not started'

say 'a service that is masked stays so'
systemctl --quiet disable --now procmgr.socket
systemctl stop procmgr.service
systemctl --quiet mask procmgr.service
dpkg -i "$old" >/dev/null 2>&1 || fail 'it cannot be put back'
is 'the service' masked "$(systemctl is-enabled procmgr.service || true)"
is 'the daemon' '' "$(daemon)"
systemctl --quiet unmask procmgr.service

say 'with a configuration elsewhere, the daemon is started, reloaded and upgraded'
sed 's/^# scene/socket-path = \/run\/other\nstate-path = \/run\/procmgr.state\n&/' /etc/procmgr.cfg >/etc/other.cfg
mkdir /etc/systemd/system/procmgr.service.d
printf '[Service]\nEnvironment=PROCMGR_CONFFILE=/etc/other.cfg\n' >/etc/systemd/system/procmgr.service.d/file.conf
systemctl daemon-reload
systemctl --quiet enable --now procmgr.service
status 0 procmgr -c /etc/other.cfg -q -t
status 0 systemctl reload procmgr.service
contains 'what is said' 'goes on as this version' "$(dpkg -i "$new" 2>&1)"
is 'the list' 'redis: running adopted' "$(procmgr -c /etc/other.cfg -a)"
rm -r /etc/systemd/system/procmgr.service.d /etc/other.cfg
systemctl daemon-reload
systemctl restart procmgr.service
redis_is 'running adopted'

say 'removed: the daemon is stopped, and what goes on is told'
systemctl --quiet enable --now procmgr.socket 2>/dev/null || true
contains 'what is said' "\"redis\", pid $redis_pid" "$(elsewhere dpkg --remove procmgr 2>&1)"
is_active procmgr.service && fail 'it runs'
is_active procmgr.socket && fail 'its socket is there'
redis_went_on

say 'removed while the service is masked: what runs goes on all the same, and the mask stays'
dpkg -i "$old" >/dev/null 2>&1 || fail 'it cannot be installed again'
systemctl --quiet enable --now procmgr.service
redis_is 'running adopted'
systemctl --quiet mask procmgr.service
contains 'what is said' "\"redis\", pid $redis_pid" "$(dpkg --remove procmgr 2>&1)"
is 'the daemon' '' "$(daemon)"
redis_went_on
is 'the service' masked "$(systemctl is-enabled procmgr.service || true)"
systemctl --quiet unmask procmgr.service

say 'a daemon that was started by hand is upgraded and stopped as well'
dpkg -i "$old" >/dev/null 2>&1 || fail 'it cannot be installed again'
systemctl --quiet disable --now procmgr.service procmgr.socket
procmgr -d
daemon=$(daemon)
contains 'what is said' 'goes on as this version' "$(dpkg -i "$new" 2>&1)"
is 'the daemon' "$daemon" "$(daemon)"
contains 'what is said' "\"redis\", pid $redis_pid" "$(dpkg --remove procmgr 2>&1)"
is 'the daemon' '' "$(daemon)"
redis_went_on

say 'installed again: the daemon takes redis over'
dpkg -i "$new" >/dev/null 2>&1 || fail 'it cannot be installed again'
systemctl --quiet enable --now procmgr.service
redis_is 'running adopted'
procmgr redis stop || true

say 'purged: nothing is left'
dpkg --purge procmgr
is 'what is left' '' "$(leftovers)"

say 'the system goes down: with on-exit = stop, programs are stopped by their scripts (judged when it is down)'
dpkg -i "$new" >/dev/null 2>&1 || fail 'it cannot be installed again'
cat >/etc/procmgr.cfg <<END
on-exit = stop
[prog-web]
cmd-start = exec sleep 1000
cmd-stop = echo done > /trial/farewell; kill \$PID
END
systemctl reload procmgr.service
procmgr web start
cat >/run/systemd/system/judge.service <<END
[Unit]
# So it is stopped behind it.
Before=procmgr.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/rm -f /trial/farewell
ExecStop=/bin/sh -c 'test -e /trial/farewell || { echo FAILED: it was not stopped >>/trial/log; echo 1 >/trial/outcome; }'
END
systemctl daemon-reload
systemctl start judge.service
