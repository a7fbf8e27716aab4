#!/bin/sh
# Makes a root file system of packages a machine: kernels, Node, an ordinary user with id ranges, and the unit that
# runs the tests. Called by mmdebstrap with the root; KERNELS, SERIES, NODE and GUEST are in the environment.
set -eu
root=$1

for series in $SERIES; do
  release=$(APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-cache pkgnames "linux-image-$series." |
    sed -n "s/^linux-image-\(.*-cloud-$(dpkg --print-architecture)\)$/\1/p" | sort -V | tail -n 1)
  [ -n "$release" ] || { echo "Debian's archive here has no cloud kernel of series $series" >&2; exit 1; }
  directory=$KERNELS/deb-$series
  mkdir "$directory"
  (cd "$directory" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download -q -o APT::Sandbox::User=root "linux-image-$release")
  dpkg -x "$directory"/*.deb "$directory/x"
  mv "$directory/x/boot/vmlinuz-$release" "$KERNELS/vmlinuz-$series"
  mkdir -p "$root/usr/lib/modules"
  cp -a "$directory"/x/lib/modules/* "$root/usr/lib/modules/"
  chroot "$root" depmod "$release"
  rm -r "$directory"
done

install -m 755 "$NODE" "$root/usr/local/bin/node"
chroot "$root" node --version > /dev/null || { echo "$NODE does not run on Debian bookworm: use a build from nodejs.org" >&2; exit 1; }

chroot "$root" useradd --create-home --shell /bin/bash tester
grep -q ^tester: "$root/etc/subuid" || echo tester:100000:65536 | tee -a "$root/etc/subgid" >> "$root/etc/subuid"
chroot "$root" passwd --quiet --delete root

cp "$GUEST"/*.service "$root/etc/systemd/system/"
for unit in "$GUEST"/*.service; do chroot "$root" systemctl --quiet enable "${unit##*/}"; done
# What nobody waits for here.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer getty@tty1.service serial-getty@ttyS0.service systemd-timesyncd.service docker-registry.service
echo mayfly-test > "$root/etc/hostname"
printf '127.0.0.1 localhost mayfly-test\n::1 localhost\n' > "$root/etc/hosts"
mkdir -p "$root/work" "$root/images"
echo '/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_work /work ext4 x-systemd.device-timeout=300 0 0' > "$root/etc/fstab"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
