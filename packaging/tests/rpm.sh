#!/bin/bash
# The package of Fedora, by the package manager that it is for; the system around it is another one.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/common.sh"

# What it depends on is here, but in packages of another kind.
rpm=(rpm --nodeps --dbpath /trial/db)
[[ ! -e /etc/debian_version ]] || rpm+=(--force-debian)

say 'installed, as into an image: the daemon is not started; presets say what starts at boot'
mkdir -p /etc/systemd/system-preset
printf 'enable procmgr.service\nenable procmgr.socket\n' >/etc/systemd/system-preset/00-trial.preset
"${rpm[@]}" --install /trial/old/*.rpm
is 'the files that have changed' '' "$("${rpm[@]}" --verify procmgr)"
is 'the service' enabled "$(systemctl is-enabled procmgr.service)"
is 'the socket' enabled "$(systemctl is-enabled procmgr.socket)"
status 1 procmgr -q -t
procmgr -d

say 'a redis with data and a connection'
configure_redis
procmgr -r
start_redis
daemon=$(daemon)

say 'an upgrade: the same daemon process, the same redis, the same connection'
contains 'what is said' 'goes on as this version' "$(elsewhere "${rpm[@]}" --upgrade /trial/new/*.rpm 2>&1)"
is 'the daemon' "$daemon" "$(daemon)"
is 'what the daemon executes' /usr/bin/procmgr "$(readlink "/proc/$daemon/exe")"
redis_is running
grep -q prog-redis /etc/procmgr.cfg || fail 'the configuration was replaced'

say 'a daemon that does not answer goes on as the former version, and that is told'
contains 'what is said' 'goes on as the former version' "$(frozen "${rpm[@]}" --upgrade --oldpackage /trial/old/*.rpm 2>&1)"
is 'the daemon' "$daemon" "$(daemon)"
eventually procmgr -q -t
redis_is running

say 'removed: the daemon is stopped, and what goes on is told'
contains 'what is said' "\"redis\", pid $redis_pid" "$(elsewhere "${rpm[@]}" --erase procmgr 2>&1)"
is 'the daemon' '' "$(daemon)"
redis_went_on
[[ -e /etc/procmgr.cfg.rpmsave ]] || fail 'the configuration that was changed is gone'
rm /etc/procmgr.cfg.rpmsave
# What is on record of redis goes with the boot.
rm -r /run/procmgr.state
is 'what is left' '' "$(leftovers)"
