#!/bin/bash
# The official image's contract: RABBITMQ_DEFAULT_USER, _PASS and _VHOST; RABBITMQ_NODENAME; guest may come from anywhere.
set -euo pipefail

if [ "$1" = rabbitmq-server ]; then
  if [ "$(id -u)" = 0 ]; then
    find /var/lib/rabbitmq \! -user rabbitmq -exec chown rabbitmq '{}' +
    exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups env HOME=/var/lib/rabbitmq "$0" "$@"
  fi
  {
    printf 'loopback_users.guest = false\nlog.console = true\n'
    if [ -n "${RABBITMQ_DEFAULT_USER:-}" ]; then printf 'default_user = %s\n' "$RABBITMQ_DEFAULT_USER"; fi
    if [ -n "${RABBITMQ_DEFAULT_PASS:-}" ]; then printf 'default_pass = %s\n' "$RABBITMQ_DEFAULT_PASS"; fi
    if [ -n "${RABBITMQ_DEFAULT_VHOST:-}" ]; then printf 'default_vhost = %s\n' "$RABBITMQ_DEFAULT_VHOST"; fi
  } > /etc/rabbitmq/conf.d/10-defaults.conf
  # Read by the server's own script, not by this image's contract.
  unset RABBITMQ_DEFAULT_USER RABBITMQ_DEFAULT_PASS RABBITMQ_DEFAULT_VHOST
fi

exec "$@"
