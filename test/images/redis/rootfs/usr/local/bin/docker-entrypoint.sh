#!/bin/sh
set -e

case "${1:-}" in
  -* | *.conf) set -- redis-server "$@" ;;
esac

if [ "$1" = redis-server ]; then
  if [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' + || true
    exec setpriv --reuid redis --regid redis --init-groups "$0" "$@"
  fi
  umask 0077
  # Debian's server refuses clients from other addresses unless told otherwise; the official build does not.
  asked=no
  for word in "$@"; do
    [ "$word" = --protected-mode ] && asked=yes
  done
  if [ -f "${2:-}" ] && grep -q '^[[:space:]]*protected-mode' "$2"; then asked=yes; fi
  [ "$asked" = yes ] || set -- "$@" --protected-mode no
fi

exec "$@"
