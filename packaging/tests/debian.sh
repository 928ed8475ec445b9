#!/bin/bash
# The package of Debian in a system without systemd, as in a chroot or a container: it is the init script that counts.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

old=$(echo /trial/old/*.deb) new=$(echo /trial/new/*.deb)
init=/etc/init.d/procmgr
config=/etc/procmgr.cfg

# pack FOLDER: makes a package of what is in that folder, and prints where it is.
pack() {
    dpkg-deb --root-owner-group --build "$1" "$1.deb" >/dev/null
    echo "$1.deb"
}

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
status 3 $init nonsense
status 0 $init start
daemon=$(daemon)
frozen status 4 $init status
frozen status 1 $init try-restart
frozen status 1 $init start
frozen status 1 $init stop
is 'the daemon' "$daemon" "$(daemon)"
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
mv /usr/bin/procmgr /usr/bin/procmgr.away
status 0 $init start
status 5 $init reload
mv /usr/bin/procmgr.away /usr/bin/procmgr

say 'a PID file whose number is that of another daemon by now tells of none'
status 0 $init stop
echo 'socket-path = /run/stranger' >/etc/stranger.cfg
procmgr -c /etc/stranger.cfg -d -P /run/stranger.pid
cp /run/stranger.pid /run/procmgr.pid
status 1 $init status
lacks 'what is said' 'former version' "$(dpkg -i "$old" 2>&1)"
status 0 $init status
status 0 $init stop
cp /run/stranger.pid /run/procmgr.pid
status 0 $init start
status 0 procmgr -c /etc/stranger.cfg -s
rm /etc/stranger.cfg

say 'options that would keep a start from returning are refused, and what is empty is as if it was not there'
echo 'OPTIONS="-A no -f"' >/etc/default/procmgr
daemon=$(daemon)
status 6 $init restart
is 'the daemon' "$daemon" "$(daemon)"
status 0 $init stop
contains 'what is said' 'OPTIONS has -f' "$(timeout 30 $init start 2>&1)"
status 6 timeout 30 $init start
printf 'CONFIG=\nOPTIONS=\n' >/etc/default/procmgr
status 0 $init start
status 0 $init restart
rm /etc/default/procmgr

say 'the init script means its own daemon, and needs no functions of others'
elsewhere status 0 $init status
elsewhere status 0 $init restart
mv /lib/lsb/init-functions /lib/lsb/away
status 0 $init restart
contains 'what is said' 'procmgr runs' "$($init status)"
mv /lib/lsb/away /lib/lsb/init-functions

say 'with a configuration elsewhere, the same daemon is started, asked, upgraded and stopped'
status 0 $init stop
echo 'socket-path = /run/other' >/etc/other.cfg
echo 'CONFIG=/etc/other.cfg' >/etc/default/procmgr
status 0 $init start
status 0 procmgr -c /etc/other.cfg -q -t
status 1 procmgr -q -t
status 0 $init reload
status 0 $init status
contains 'what is said' 'goes on as this version' "$(elsewhere dpkg -i "$old" 2>&1)"
status 0 $init stop
status 1 procmgr -c /etc/other.cfg -q -t
rm /etc/other.cfg /etc/default/procmgr
status 0 $init start

say 'a redis with data and a connection'
configure_redis
status 0 $init reload
start_redis
redis_is running
daemon=$(daemon)

say 'an upgrade: the same daemon process, the same redis, the same connection'
elsewhere dpkg -i "$new" || fail 'it cannot be upgraded'
is 'the daemon' "$daemon" "$(daemon)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
is 'the version' "procmgr $(dpkg-deb -f "$new" Version | cut -d- -f1)" "$(procmgr -V)"
redis_is running
grep -q prog-redis $config || fail 'the configuration was replaced'

say 'a configuration that both have changed is asked about, and that of the administrator stays'
dpkg-deb --raw-extract "$new" /trial/comment
echo '# Another comment.' >>/trial/comment/etc/procmgr.cfg
contains 'what is said' "Configuration file '$config'" "$(dpkg -i "$(pack /trial/comment)" 2>&1 <<<N)"
grep -q prog-redis $config || fail 'the configuration was replaced'
grep -q 'Another comment' $config.dpkg-* || fail 'the other one is not beside it'
dpkg -i --force-confold "$new" >/dev/null 2>&1 || fail 'it cannot be put back'
rm $config.dpkg-*
is 'the daemon' "$daemon" "$(daemon)"
redis_is running

say 'a version that cannot take over: the former one goes on, which is told, and is no failure'
dpkg-deb --raw-extract "$new" /trial/unable
mv /trial/unable/usr/bin/procmgr /usr/local/bin/able
cat >/trial/unable/usr/bin/procmgr <<'END'
#!/bin/sh
for word; do [ "$word" != -d ] || exit 1; done
exec /usr/local/bin/able "$@"
END
chmod 755 /trial/unable/usr/bin/procmgr
told=$(dpkg -i "$(pack /trial/unable)" 2>&1) || fail "it cannot be installed: $told"
contains 'what is said' 'goes on as the former version: ERROR: (SPAWN)' "$told"
is 'the daemon' "$daemon" "$(daemon)"
redis_is running

say 'an upgrade that breaks off leaves daemon and redis as they are'
dpkg -i "$new" >/dev/null 2>&1 || fail 'it cannot be upgraded'
rm /usr/local/bin/able
dpkg-deb --raw-extract "$new" /trial/broken
printf '#!/bin/sh\nexit 1\n' >/trial/broken/DEBIAN/preinst
chmod 755 /trial/broken/DEBIAN/preinst
status 1 dpkg -i "$(pack /trial/broken)"
is 'the daemon' "$daemon" "$(daemon)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
redis_is running

say 'a daemon that does not answer, or not where it is looked for, is left as it is, and no second one is started'
contains 'what is said' 'goes on as the former version' "$(frozen dpkg -i "$old" 2>&1)"
eventually procmgr -q -t
is 'the daemon' "$daemon" "$(daemon)"
# If it had been asked to, it would have upgraded itself by then.
sleep 3
contains 'what the daemon executes' '(deleted)' "$(readlink "/proc/$daemon/exe")"
sed -i '1i socket-path = /run/other' $config
contains 'what is said' 'goes on as the former version' "$(dpkg -i "$new" 2>&1)"
[[ ! -e /run/other ]] || fail 'a second daemon was started'
status 4 $init status
sed -i 1d $config
is 'the daemon' "$daemon" "$(daemon)"
redis_is running

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

say 'a daemon that was started from elsewhere goes on from there, and that is told'
status 0 $init stop
cp /usr/bin/procmgr /usr/local/bin/procmgr
/usr/local/bin/procmgr -d
contains 'what is said' 'it executes /usr/local/bin/procmgr' "$(dpkg -i "$new" 2>&1)"
redis_is 'running adopted'
rm /usr/local/bin/procmgr
status 0 $init stop
status 0 $init start

say 'a restart with a file that cannot be used leaves all as it is'
daemon=$(daemon)
sed -i '1i nonsense' $config
status 6 $init restart
sed -i 1d $config
is 'the daemon' "$daemon" "$(daemon)"

say 'a daemon that cannot be stopped keeps the package from being removed'
frozen status 1 dpkg --remove procmgr
status 0 $init status
redis_is 'running adopted'

say 'removed: the daemon is stopped, and what goes on is told'
contains 'what is said' "\"redis\", pid $redis_pid" "$(elsewhere dpkg --remove procmgr 2>&1)"
is 'the daemon' '' "$(daemon)"
redis_went_on
[[ -e $config ]] || fail 'the configuration is gone'
status 3 $init status

say 'installed again: the daemon takes redis over'
dpkg -i "$new" >/dev/null || fail 'it cannot be installed again'
redis_is 'running adopted'

say 'removed while there is no daemon: what goes on is told nevertheless, and nothing else'
printf '[prog-für]\ncmd-start = exec sleep 1000\n[prog-gone]\ncmd-start = exec sleep 1000\n' >>$config
status 0 $init reload
procmgr für start
procmgr gone start
procmgr gone stop || true
other=$(pid_of für)
kill -KILL "$(daemon)"
eventually bash -c '! procmgr -q -t'
told=$(dpkg --remove procmgr 2>&1)
contains 'what is said' "\"redis\", pid $redis_pid" "$told"
contains 'what is said' "\"für\", pid $other" "$told"
lacks 'what is said' '"gone"' "$told"

say 'purged: what goes on is told once more, and nothing is left'
contains 'what is said' "\"redis\", pid $redis_pid" "$(dpkg --purge procmgr 2>&1)"
redis_went_on
is 'what is left' '' "$(leftovers)"

say 'purged while the daemon of somebody else runs: what that keeps stays'
dpkg -i "$new" >/dev/null || fail 'it cannot be installed again'
cp /usr/bin/procmgr /usr/local/bin/other
dpkg --remove procmgr >/dev/null 2>&1
/usr/local/bin/other -d
contains 'what is said' 'a daemon runs' "$(dpkg --purge procmgr 2>&1)"
/usr/local/bin/other -q -t || fail 'its socket is gone'
[[ -d /run/procmgr.state ]] || fail 'its records are gone'
/usr/local/bin/other -s
rm -rf /usr/local/bin/other /run/procmgr.state /run/procmgr.lock

say 'purged at once, with a program that runs'
dpkg -i "$new" >/dev/null || fail 'it cannot be installed again'
printf '[prog-web]\ncmd-start = exec sleep 1000\n' >>$config
status 0 $init reload
procmgr web start
web=$(pid_of web)
contains 'what is said' "\"web\", pid $web" "$(dpkg --purge procmgr 2>&1)"
[[ -d /proc/$web ]] || fail 'it was stopped'
is 'what is left' '' "$(leftovers)"
