# The official image's ids; Debian's package keeps a user that is already there.
groupadd -r -g 999 mysql
useradd -r -g mysql -u 999 -d /var/lib/mysql -s /usr/sbin/nologin mysql
apt-get install -q -y --no-install-recommends mariadb-server
rm -rf /var/lib/mysql/* /etc/mysql/mariadb.conf.d/50-server.cnf
mkdir -p /var/lib/mysql /run/mysqld /docker-entrypoint-initdb.d
chown -R mysql:mysql /var/lib/mysql /run/mysqld
chmod 1777 /run/mysqld
