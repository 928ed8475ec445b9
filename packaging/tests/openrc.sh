#!/bin/bash
# The static archive, put into its places by hand, under OpenRC.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

# Here OpenRC is a guest in a Debian, with scripts of that beside its own; what it says of those matters to nobody.
mkdir -p /run/openrc
for level in sysinit boot default; do
    openrc "$level" >/dev/null 2>&1 || true
done

service() {
    rc-service procmgr "$@"
}

unpack() {
    tar --extract --directory=/ --strip-components=1 --keep-directory-symlink "$@"
}

say 'unpacked, and started'
unpack --file "$(echo /trial/old/*-static.tar.gz)"
install -m 755 /usr/share/doc/procmgr/init/openrc/procmgr /etc/init.d/
status 0 rc-update add procmgr default
status 3 service status
status 0 service start
status 0 service status
status 0 procmgr -q -t

say 'the service means its own daemon, and does not take one that hangs for none'
elsewhere status 0 service status
frozen status 4 service status
frozen status 1 service stop
status 0 service status
status 0 procmgr -q -t

say 'a PID file whose number is that of another daemon by now tells of none'
status 0 service stop
echo 'socket-path = /run/stranger' >/etc/stranger.cfg
procmgr -c /etc/stranger.cfg -d -P /run/stranger.pid
cp /run/stranger.pid /run/procmgr.pid
status 3 service status
status 0 procmgr -c /etc/stranger.cfg -s
rm /etc/stranger.cfg

say 'options that would keep a start from returning are refused, and what is empty is as if it was not there'
mkdir -p /etc/conf.d
echo 'procmgr_options="-A no -f"' >/etc/conf.d/procmgr
status 1 timeout 30 rc-service procmgr start
printf 'procmgr_config=\nprocmgr_options=\n' >/etc/conf.d/procmgr
status 0 service start
daemon=$(daemon)
echo 'procmgr_options=--foreground' >/etc/conf.d/procmgr
status 1 service restart
is 'the daemon' "$daemon" "$(daemon)"

say 'with a configuration elsewhere, the same daemon is started, asked and stopped'
status 0 service stop
echo 'socket-path = /run/other' >/etc/other.cfg
echo 'procmgr_config=/etc/other.cfg' >/etc/conf.d/procmgr
status 0 service start
status 0 procmgr -c /etc/other.cfg -q -t
status 1 procmgr -q -t
status 0 service reload
status 0 service stop
status 1 procmgr -c /etc/other.cfg -q -t
rm /etc/other.cfg /etc/conf.d/procmgr
status 0 service start

say 'a redis with data and a connection'
configure_redis
status 0 service reload
start_redis
daemon=$(daemon)

say 'an upgrade: the same daemon process, the same redis, the same connection'
unpack --exclude='*/etc' --file "$(echo /trial/new/*-static.tar.gz)"
status 0 service upgrade
is 'the daemon' "$daemon" "$(daemon)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
redis_is running

say 'a restart with a file that cannot be used leaves all as it is'
daemon=$(daemon)
sed -i '1i nonsense' /etc/procmgr.cfg
status 1 service restart
sed -i 1d /etc/procmgr.cfg
is 'the daemon' "$daemon" "$(daemon)"

say 'the service is restarted, and redis goes on'
status 0 service restart
redis_is 'running adopted'

say 'the daemon is killed, which is told, and redis goes on'
kill -KILL "$(daemon)"
eventually bash -c '! procmgr -q -t'
status 32 service status
status 0 service restart
redis_is 'running adopted'

say 'stopped: redis goes on'
status 0 service stop
status 3 service status
redis_went_on
