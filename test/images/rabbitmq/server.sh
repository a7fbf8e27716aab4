# The official image's ids; Debian's package keeps a user that is already there.
groupadd -r -g 999 rabbitmq
useradd -r -g rabbitmq -u 999 -d /var/lib/rabbitmq -s /bin/bash rabbitmq
apt-get install -q -y --no-install-recommends rabbitmq-server
rm -rf /var/lib/rabbitmq/mnesia /var/lib/rabbitmq/.erlang.cookie /etc/rabbitmq/*
mkdir -p /var/lib/rabbitmq /var/log/rabbitmq /etc/rabbitmq/conf.d
chown -R rabbitmq:rabbitmq /var/lib/rabbitmq /var/log/rabbitmq /etc/rabbitmq
chmod 1777 /var/lib/rabbitmq
