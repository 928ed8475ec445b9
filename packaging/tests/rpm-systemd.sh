#!/bin/bash
# The package of Fedora under a real systemd, which has booted the system; that is a Debian, which has RPM as a guest.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

rpm=(rpm --nodeps --dbpath /trial/db --force-debian)

main_pid() {
    systemctl show --value --property MainPID procmgr.service
}

say 'installed: presets say what starts at boot, and nothing starts now'
mkdir -p /etc/systemd/system-preset
printf 'enable procmgr.service\ndisable procmgr.socket\n' >/etc/systemd/system-preset/00-trial.preset
"${rpm[@]}" --install /trial/old/*.rpm
is 'the service' enabled "$(systemctl is-enabled procmgr.service)"
is 'the socket' disabled "$(systemctl is-enabled procmgr.socket || true)"
is 'the service' inactive "$(systemctl is-active procmgr.service || true)"
is 'the folder of state' '700 root' "$(stat -c '%a %U' /run/procmgr.state)"

say 'an upgrade while the daemon does not run does not start it'
"${rpm[@]}" --upgrade /trial/new/*.rpm
is 'the service' inactive "$(systemctl is-active procmgr.service || true)"

say 'a redis with data and a connection'
systemctl start procmgr.service
configure_redis
systemctl reload procmgr.service
start_redis
daemon=$(main_pid)

say 'an upgrade: the same daemon process, the same redis, the same connection'
contains 'what is said' 'goes on as this version' \
    "$(elsewhere "${rpm[@]}" --upgrade --oldpackage /trial/old/*.rpm 2>&1)"
is 'the daemon' "$daemon" "$(main_pid)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
redis_is running

say 'what was disabled by hand stays so over an upgrade, presets or not'
systemctl --quiet disable procmgr.service
contains 'what is said' 'goes on as this version' "$("${rpm[@]}" --upgrade /trial/new/*.rpm 2>&1)"
is 'the service' disabled "$(systemctl is-enabled procmgr.service || true)"
systemctl --quiet enable procmgr.service

say 'removed: the daemon is stopped, and what goes on is told'
contains 'what is said' "\"redis\", pid $redis_pid" "$(elsewhere "${rpm[@]}" --erase procmgr 2>&1)"
is 'the daemon' '' "$(daemon)"
is 'the service' inactive "$(systemctl is-active procmgr.service || true)"
is 'what starts at boot' '' "$(find /etc/systemd/system -name 'procmgr*')"
redis_went_on
