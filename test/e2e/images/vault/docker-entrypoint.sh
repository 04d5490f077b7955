#!/usr/bin/dumb-init /bin/sh
# What the official image's does (https://github.com/hashicorp/vault/blob/main/.release/docker/docker-entrypoint.sh),
# without the addresses by interface name.
set -e
ulimit -c 0

if [ -n "$VAULT_LOCAL_CONFIG" ]; then
  echo "$VAULT_LOCAL_CONFIG" >/vault/config/local.json
  # The one thing that is otherwise: OpenBao has no storage of type file. One node of raft keeps its data in the same folder.
  if vault version | grep -q OpenBao && grep -q '"storage":{"file":{' /vault/config/local.json; then
    echo "OpenBao has no storage of type file: raft stands in for it" >&2
    printf '%s\n' "$VAULT_LOCAL_CONFIG" | sed -e 's/"storage":{"file":{/"storage":{"raft":{"node_id":"one",/' \
      -e 's|^{|{"api_addr":"http://127.0.0.1:8200","cluster_addr":"http://127.0.0.1:8201",|' >/vault/config/local.json
  fi
fi

case "$1" in
-*) set -- vault "$@" ;;
server)
  shift
  set -- vault server -config=/vault/config -dev-root-token-id="$VAULT_DEV_ROOT_TOKEN_ID" \
    -dev-listen-address="${VAULT_DEV_LISTEN_ADDRESS:-0.0.0.0:8200}" "$@"
  ;;
version) set -- vault "$@" ;;
*) if vault --help "$1" 2>&1 | grep -qE "(vault|bao) $1"; then set -- vault "$@"; fi ;;
esac

if [ "$1" = vault ]; then
  if [ -z "$SKIP_CHOWN" ]; then
    for folder in config logs file; do
      if [ "$(stat -c %u "/vault/$folder")" != "$(id -u vault)" ]; then
        chown -R vault:vault "/vault/$folder" || echo "Could not chown /vault/$folder (may not have appropriate permissions)"
      fi
    done
  fi
  if [ -z "$SKIP_SETCAP" ]; then
    setcap cap_ipc_lock=+ep "$(readlink -f "$(command -v vault)")"
    if ! vault -version 1>/dev/null 2>/dev/null; then
      echo "Couldn't start vault with IPC_LOCK. Disabling IPC_LOCK, please use --cap-add IPC_LOCK" >&2
      setcap cap_ipc_lock=-ep "$(readlink -f "$(command -v vault)")"
    fi
  fi
  if [ "$(id -u)" = 0 ]; then
    # As the official image's su-exec does.
    export HOME=/home/vault
    set -- setpriv --reuid=100 --regid=1000 --clear-groups "$@"
  fi
fi

exec "$@"
