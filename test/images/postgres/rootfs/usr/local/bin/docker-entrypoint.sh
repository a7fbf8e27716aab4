#!/usr/bin/env bash
# The official image's contract: POSTGRES_* variables, PGDATA, /docker-entrypoint-initdb.d.
set -Eeuo pipefail
shopt -s nullglob

die() {
  printf 'Error: %s\n' "$1" >&2
  exit 1
}

# from_file NAME DEFAULT: the value of NAME, else the content of the file that NAME_FILE names.
from_file() {
  local name=$1 file_name="$1_FILE" value=$2
  if [ -n "${!name:-}" ] && [ -n "${!file_name:-}" ]; then die "both $name and $file_name are set"; fi
  if [ -n "${!name:-}" ]; then value=${!name}; elif [ -n "${!file_name:-}" ]; then value=$(<"${!file_name}"); fi
  export "$name=$value"
  unset "$file_name"
}

sql() {
  psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password "$@"
}

prepare_directories() {
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 0700 "$PGDATA" || true
  chmod 3777 /var/run/postgresql || true
  if [ "$(id -u)" = 0 ]; then
    find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
  fi
}

create_cluster() {
  local password_file
  password_file=$(mktemp)
  printf '%s\n' "$POSTGRES_PASSWORD" > "$password_file"
  local -a arguments=(--username="$POSTGRES_USER")
  [ -z "$POSTGRES_PASSWORD" ] || arguments+=(--pwfile="$password_file")
  [ -z "${POSTGRES_INITDB_WALDIR:-}" ] || arguments+=(--waldir "$POSTGRES_INITDB_WALDIR")
  # POSTGRES_INITDB_ARGS is a line of shell words, as in the official image.
  eval "initdb \"\${arguments[@]}\" $POSTGRES_INITDB_ARGS \"\$@\""
  rm -f "$password_file"
}

allow_remote_clients() {
  local method=$POSTGRES_HOST_AUTH_METHOD
  [ -n "$method" ] || method=$(postgres -C password_encryption)
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
}

run_init_files() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh)
        printf '%s: running %s\n' "$0" "$file"
        if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql)
        printf '%s: running %s\n' "$0" "$file"
        sql --dbname "$POSTGRES_DB" -f "$file" ;;
      *.sql.gz)
        printf '%s: running %s\n' "$0" "$file"
        gunzip -c "$file" | sql --dbname "$POSTGRES_DB" ;;
      *) printf '%s: ignoring %s\n' "$0" "$file" ;;
    esac
  done
}

initialise() {
  if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
    die 'the database is empty and no superuser password is given: set POSTGRES_PASSWORD (or POSTGRES_HOST_AUTH_METHOD=trust, which lets everybody in)'
  fi
  create_cluster
  allow_remote_clients
  # Reachable over the unix socket alone, so that nobody meets a half-prepared server.
  export PGPASSWORD=${PGPASSWORD-$POSTGRES_PASSWORD}
  PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p ${PGPORT:-5432}" -w start
  if [ "$POSTGRES_DB" != postgres ]; then
    sql --dbname postgres --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
  fi
  run_init_files
  PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
  printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

if [ "${1:0:1}" = '-' ]; then set -- postgres "$@"; fi

wants_help=no
for word in "$@"; do
  case "$word" in -\? | --help | --describe-config | -V | --version) wants_help=yes ;; esac
done

if [ "$1" = postgres ] && [ "$wants_help" = no ]; then
  prepare_directories
  if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid postgres --regid postgres --init-groups env HOME=/var/lib/postgresql "$0" "$@"
  fi
  if [ ! -s "$PGDATA/PG_VERSION" ]; then
    from_file POSTGRES_PASSWORD ''
    from_file POSTGRES_USER postgres
    from_file POSTGRES_DB "$POSTGRES_USER"
    from_file POSTGRES_INITDB_ARGS ''
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
    initialise
  else
    printf '\nPostgreSQL Database directory appears to contain a database; skipping initialisation.\n\n'
  fi
fi

exec "$@"
