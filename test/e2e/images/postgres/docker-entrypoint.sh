#!/bin/sh
# Makes the data folder at the first start, as the official image does
# (https://github.com/docker-library/postgres/blob/master/docker-entrypoint.sh), then is the server.
set -eu

if [ "$1" != postgres ] || [ -s "$PGDATA/PG_VERSION" ]; then
  exec "$@"
fi

if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
  POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
fi
if [ -z "${POSTGRES_PASSWORD:-}" ]; then
  echo "Error: Database is uninitialized and superuser password is not specified." >&2
  exit 1
fi
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

mkdir -p "$PGDATA"
chmod 0700 "$PGDATA"
password_file=$(mktemp)
trap 'rm -f "$password_file"' EXIT
printf '%s\n' "$POSTGRES_PASSWORD" >"$password_file"
initdb -D "$PGDATA" --username="$user" --pwfile="$password_file"
printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
# Here, since initdb puts its own value in place of the sample's.
printf "listen_addresses = '*'\nunix_socket_directories = '/var/run/postgresql'\n" >>"$PGDATA/postgresql.conf"

# Nobody reaches it before it is complete: it listens on the socket alone.
pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
if [ "$database" != postgres ]; then
  echo 'CREATE DATABASE :"database"' | psql -X -q -v ON_ERROR_STOP=1 -v database="$database" -U "$user" -d postgres
fi
pg_ctl -D "$PGDATA" -m fast -w stop

rm -f "$password_file"
unset POSTGRES_PASSWORD
echo
echo "PostgreSQL init process complete; ready for start up."
echo
exec "$@"
