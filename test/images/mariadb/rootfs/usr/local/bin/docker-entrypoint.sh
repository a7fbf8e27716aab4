#!/usr/bin/env bash
# The official image's contract: MARIADB_* variables (or MYSQL_*), /docker-entrypoint-initdb.d, data in /var/lib/mysql.
set -Eeuo pipefail
shopt -s nullglob

data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock

die() {
  printf 'Error: %s\n' "$1" >&2
  exit 1
}

# setting NAME: the value of MARIADB_NAME, else of MYSQL_NAME, or the content of the file that either with _FILE names.
setting() {
  local prefix name
  for prefix in MARIADB MYSQL; do
    name=${prefix}_$1
    if [ -n "${!name:-}" ]; then printf '%s' "${!name}"; return; fi
    name=${name}_FILE
    if [ -n "${!name:-}" ]; then cat "${!name}"; return; fi
  done
}

quoted() {
  printf "'%s'" "$(printf '%s' "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g")"
}

identifier() {
  printf '`%s`' "${1//\`/\`\`}"
}

sql() {
  mariadb --protocol=socket --socket="$socket" --user=root ${root_password:+--password="$root_password"} "$@"
}

initialise() {
  local root user password database empty server file said
  root=$(setting ROOT_PASSWORD) empty=$(setting ALLOW_EMPTY_ROOT_PASSWORD)
  [ -n "$empty" ] || empty=${MYSQL_ALLOW_EMPTY_PASSWORD:-}
  if [ -z "$root" ] && [ -z "$empty" ]; then
    die 'the database is empty and no root password is given: set MARIADB_ROOT_PASSWORD (or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1)'
  fi
  user=$(setting USER) password=$(setting PASSWORD) database=$(setting DATABASE)
  # Names are not looked up: a container's own may be unknown.
  said=$(mariadb-install-db --user=mysql --datadir="$data" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve --force 2>&1) ||
    die "$said"
  # Reachable over the unix socket alone, so that nobody meets a half-prepared server.
  mariadbd --user=mysql --datadir="$data" --skip-networking --socket="$socket" &
  server=$!
  root_password=
  until sql -e 'SELECT 1' > /dev/null 2>&1; do
    kill -0 "$server" 2> /dev/null || die 'the server did not start'
    sleep 0.05
  done
  mariadb-tzinfo-to-sql /usr/share/zoneinfo 2> /dev/null | sql mysql || true
  {
    # Root of this address or that, and nobody in particular, without passwords.
    printf "DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');\nFLUSH PRIVILEGES;\n"
    printf 'CREATE USER IF NOT EXISTS root@%s IDENTIFIED BY %s;\n' "'%'" "$(quoted "$root")"
    printf 'GRANT ALL ON *.* TO root@%s WITH GRANT OPTION;\n' "'%'"
    if [ -n "$database" ]; then printf 'CREATE DATABASE IF NOT EXISTS %s;\n' "$(identifier "$database")"; fi
    if [ -n "$user" ]; then
      printf 'CREATE USER %s@%s IDENTIFIED BY %s;\n' "$(quoted "$user")" "'%'" "$(quoted "$password")"
      if [ -n "$database" ]; then printf 'GRANT ALL ON %s.* TO %s@%s;\n' "$(identifier "$database")" "$(quoted "$user")" "'%'"; fi
    fi
    printf 'ALTER USER root@localhost IDENTIFIED BY %s;\n' "$(quoted "$root")"
  } | sql
  root_password=$root
  for file in /docker-entrypoint-initdb.d/*; do
    printf '%s: running %s\n' "$0" "$file"
    case "$file" in
      *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) sql ${database:+"$database"} < "$file" ;;
      *.sql.gz) gunzip -c "$file" | sql ${database:+"$database"} ;;
      *) printf '%s: ignoring %s\n' "$0" "$file" ;;
    esac
  done
  kill "$server"
  wait "$server"
  printf '\nMariaDB init process done. Ready for start up.\n\n'
}

if [ "${1:0:1}" = '-' ]; then set -- mariadbd "$@"; fi

if [ "$1" = mariadbd ] || [ "$1" = mysqld ]; then
  if [ "$(id -u)" = 0 ]; then
    find "$data" /run/mysqld \! -user mysql -exec chown mysql '{}' +
    exec setpriv --reuid mysql --regid mysql --init-groups "$0" "$@"
  fi
  [ -d "$data/mysql" ] || initialise
fi

exec "$@"
