#!/bin/sh
# The first process of the guest: mounts what a machine has, runs pytest, powers off. The kernel's command line has
# set: worktree, prefix, python, results, arguments, hierarchy.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
# Of pytest's plugins only those that the tests here need: the others take seconds to import.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
trap 'mount -t proc proc /proc 2>/dev/null; echo o >/proc/sysrq-trigger; sleep 60' EXIT
set -eu

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=0666 devpts /dev/pts
for directory in /dev/shm /run /tmp; do mount -t tmpfs tmpfs "$directory"; done

# What these have covered of the host, and the one place that can be written to.
for directory in "$worktree" "$prefix"; do
  [ -d "$directory" ] || { mkdir -p "$directory"; mount -t hostfs -o "ro,$directory" hostfs "$directory"; }
done
mkdir -p "$results"
mount -t hostfs -o "$results" hostfs "$results"

# Debian keeps this kernel's modules where modprobe does not look.
mkdir -p /run/modules/lib
ln -s /usr/lib/uml/modules /run/modules/lib/modules
modprobe -a -d /run/modules overlay bridge veth nf_tables brd zram bfq loop quota_v2 sch_tbf sch_netem

case "$hierarchy" in
  unified)
    mount -t cgroup2 cgroup2 /sys/fs/cgroup ;;
  hybrid)
    mount -t tmpfs tmpfs /sys/fs/cgroup
    for controller in memory pids devices; do
      mkdir "/sys/fs/cgroup/$controller"
      mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
    done
    mkdir /sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
esac

# Swap, a disk in memory (ram0), and one that is scheduled by weights (loop0).
echo 128M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null
swapon /dev/zram0
truncate -s 4M /run/disk
losetup /dev/loop0 /run/disk
echo bfq >/sys/block/loop0/queue/scheduler
ip link set lo up
hostname guest
cd "$worktree"
"$python" -m pytest -q -p no:cacheprovider -p pytest_asyncio.plugin -p pytest_timeout -p tests.uml.guest "@$arguments" || echo "pytest ended with status $?"
