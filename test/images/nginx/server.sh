# The official image's ids; Debian's package keeps what is already there.
groupadd -r -g 101 nginx
useradd -r -g nginx -u 101 -d /nonexistent -s /bin/false nginx
apt-get install -q -y --no-install-recommends nginx-light
rm -rf /etc/nginx /var/www/html
mkdir -p /etc/nginx/conf.d /usr/share/nginx/html /var/cache/nginx /docker-entrypoint.d
cp /etc/mime.types /etc/nginx/mime.types 2>/dev/null || true
ln -sf /usr/share/nginx/modules-available /etc/nginx/modules
# In the official image the logs are the container's.
mkdir -p /var/log/nginx
