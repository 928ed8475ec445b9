#!/bin/bash
# The package of Debian in a system without systemd, as in a chroot or a container: it is the init script that counts.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

old=$(echo /trial/old/*.deb) new=$(echo /trial/new/*.deb)
init=/etc/init.d/procmgr
config=/etc/procmgr.cfg

policy() {
    printf '#!/bin/sh\nexit %s\n' "$1" >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
}

# The runlevel is an init system's to tell, and none has booted this.
rm -f /sbin/runlevel
printf '#!/bin/sh\necho N 2\n' >/sbin/runlevel
chmod 755 /sbin/runlevel

say 'a policy keeps the daemon from being started'
policy 101
dpkg -i "$old" >/dev/null 2>&1 || fail 'it cannot be installed'
status 3 $init status
status 1 procmgr -q -t
rm /usr/sbin/policy-rc.d

say 'installed, the daemon runs'
dpkg --purge procmgr >/dev/null
is 'what a purge has left' '' "$(leftovers)"
dpkg -i "$old" || fail 'it cannot be installed'
status 0 procmgr -q -t
status 0 $init status
is 'what the configuration is' '644 root root' "$(stat -c '%a %U %G' $config)"
is 'what is remarkable about the configuration' "$config: no findings" "$(procmgr --check)"
[[ -x $(echo /etc/rc2.d/S*procmgr) ]] || fail 'it is not started at boot'
is 'the files that have changed' '' "$(dpkg --verify procmgr)"

say 'the init script has the status codes of LSB'
status 0 $init start
status 0 $init reload
status 0 $init restart
status 0 $init stop
status 3 $init status
status 0 $init stop
status 7 $init reload
status 0 $init try-restart
status 3 $init status
status 2 $init nonsense
status 0 $init start
daemon=$(daemon)
kill -STOP "$daemon"
status 4 $init status
kill -CONT "$daemon"
kill -KILL "$daemon"
eventually bash -c '! procmgr -q -t'
status 1 $init status
rm /run/procmgr.pid
status 2 $init status
status 0 $init start
mv $config $config.away
status 6 $init restart
mv $config.away $config
status 0 $init start

say 'a redis with data and a connection'
configure_redis
status 0 $init reload
start_redis
redis_is running
daemon=$(daemon)

say 'an upgrade: the same daemon process, the same redis, the same connection'
dpkg -i "$new" || fail 'it cannot be upgraded'
is 'the daemon' "$daemon" "$(daemon)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
is 'the version' "procmgr $(dpkg-deb -f "$new" Version | cut -d- -f1)" "$(procmgr -V)"
redis_is running
grep -q prog-redis $config || fail 'the configuration was replaced'

say 'an upgrade that a policy does not allow leaves all as it is'
policy 101
contains 'what is said' 'by policy' "$(dpkg -i "$old" 2>&1)"
contains 'what the daemon executes' '(deleted)' "$(readlink "/proc/$daemon/exe")"
redis_is running
rm /usr/sbin/policy-rc.d

say 'an upgrade that the daemon cannot do leaves it and redis as they are, and is no failure'
status 0 $init stop
cp /usr/bin/procmgr /usr/local/bin/elsewhere
/usr/local/bin/elsewhere -d
rm /usr/local/bin/elsewhere
daemon=$(daemon)
contains 'what is said' 'goes on as the former version' "$(dpkg -i "$new" 2>&1)"
is 'the daemon' "$daemon" "$(daemon)"
redis_is 'running adopted'
status 0 $init restart

say 'removed: the daemon is stopped, and what goes on is told'
contains 'what is said' "\"redis\", pid $redis_pid" "$(dpkg --remove procmgr 2>&1)"
is 'the daemon' '' "$(daemon)"
redis_went_on
[[ -e $config ]] || fail 'the configuration is gone'
status 3 $init status

say 'installed again: the daemon takes redis over'
dpkg -i "$new" >/dev/null || fail 'it cannot be installed again'
redis_is 'running adopted'
procmgr redis stop || true

say 'purged: nothing is left'
dpkg --purge procmgr
is 'what is left' '' "$(leftovers)"
