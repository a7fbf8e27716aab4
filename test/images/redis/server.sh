# The official image's ids; Debian's package keeps a user that is already there.
groupadd -r -g 999 redis
useradd -r -g redis -u 999 -d /data -s /usr/sbin/nologin redis
apt-get install -q -y --no-install-recommends redis-server
mkdir -p /data
chown redis:redis /data
