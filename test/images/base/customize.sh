#!/bin/sh
# Runs beside the fresh root file system $1: downloads the packages of the images, then leaves the root as Debian's
# official images have it, and without what differs from machine to machine.
set -eu
root=$1
while read -r image words; do
  mkdir -p "$MAYFLY_DOWNLOADS/$image/partial"
  APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q -y --no-install-recommends --download-only -o APT::Sandbox::User=root \
    -o Dir::Cache::archives="$MAYFLY_DOWNLOADS/$image" install $words < /dev/null
  rm -rf "$MAYFLY_DOWNLOADS/$image/partial" "$MAYFLY_DOWNLOADS/$image/lock"
done < "$MAYFLY_LIST"

# Nobody waits for a disk.
echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
printf 'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n' > "$root/etc/apt/apt.conf.d/docker-clean"

rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/resolv.conf" "$root/etc/hostname" "$root/var/cache/ldconfig/aux-cache"
find "$root/var/log" "$root/tmp" "$root/run" "$root/var/cache/apt" "$root/var/lib/apt/lists" -xdev -type f -delete
# Theirs or root's, depending on the host's apt: always root's, so that every host makes the same image.
for partial in var/cache/apt/archives/partial var/lib/apt/lists/partial; do
  [ ! -d "$root/$partial" ] || chown 0:0 "$root/$partial"
done
