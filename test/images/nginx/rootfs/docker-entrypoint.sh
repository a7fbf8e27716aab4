#!/bin/sh
# The official image's contract: scripts of /docker-entrypoint.d run first, in order.
set -e
for script in /docker-entrypoint.d/*.sh; do
  [ -x "$script" ] && "$script"
done
exec "$@"
