# Runs in the base's root; the image's own root is /mnt/scratch.
cd /mnt
apt-get download -q busybox-static
dpkg -x busybox-static_*.deb unpacked
root=/mnt/scratch
mkdir -p $root/bin $root/etc $root/home $root/root $root/tmp $root/dev $root/proc $root/sys \
  $root/usr/bin $root/usr/sbin $root/var/spool/mail $root/var/www
chmod 1777 $root/tmp
chmod 0700 $root/root
cp "$(find unpacked -type f -path '*/bin/busybox')" $root/bin/busybox
chmod 0755 $root/bin/busybox
for applet in $($root/bin/busybox --list); do
  [ "$applet" = busybox ] || ln -f $root/bin/busybox "$root/bin/$applet"
done
ln -s ../../bin/env $root/usr/bin/env
cat > $root/etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
END
cat > $root/etc/group <<'END'
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
tty:x:5:
mail:x:8:
www-data:x:33:
users:x:100:
nogroup:x:65534:
END
cat > $root/etc/shadow <<'END'
root:*:::::::
daemon:*:::::::
nobody:*:::::::
END
chmod 0640 $root/etc/shadow
