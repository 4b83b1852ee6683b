#!/usr/bin/env bash
# A real S3 server for tests on one machine: a Ceph gateway with one monitor and one disk, all of
# whose data lie in a folder. Debian: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common
#
#   ceph_rgw.sh start FOLDER [PORT]   start, or start again on the same data; PORT 7480, PORT+1 for the monitor
#   ceph_rgw.sh stop FOLDER           stop; the data stay until the folder is removed
#
# The address and the credentials are left in FOLDER/s3.env, to be read with `set -a; . FOLDER/s3.env`.
set -euo pipefail

usage() { sed -n '5,6s/^#  *//p' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
action=$1
mkdir -p "$2"
home=$(cd "$2" && pwd)
export CEPH_CONF=$home/ceph.conf

launch() { # launch NAME COMMAND...: in a session of its own, output and process number in the folder
  local name=$1
  shift
  setsid "$@" >>"$home/$name.log" 2>&1 </dev/null &
  echo $! >"$home/$name.pid"
}

await() { # await NAME TRIES COMMAND...: until the command succeeds, or the daemon ends
  local name=$1 tries=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    if [ $tries -le 0 ] || ! kill -0 "$(cat "$home/$name.pid")" 2>/dev/null; then
      echo "ceph: $name did not become ready; the end of $home/$name.log:" >&2
      tail -n 5 "$home/$name.log" >&2
      exit 1
    fi
    sleep 0.2
  done
}

halt() { # in the order in which they depend on each other
  local name pid
  for name in gateway disk monitor; do
    [ -s "$home/$name.pid" ] || continue
    pid=$(cat "$home/$name.pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$home/$name.pid"
  done
}

describe() { # the settings of a cluster that keeps each object once and has no manager
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v2:127.0.0.1:$((port + 1))
public network = 127.0.0.0/8
ms bind msgr1 = false
keyring = $home/keyring
admin socket =
pid file =
log file =
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mgr initial modules =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
bluestore block size = 8589934592
[client.gateway]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $home/gateway
rgw dynamic resharding = false
CONF
}

format() { # keys and the empty stores of monitor and disk
  local everything=(--cap mon 'allow *' --cap osd 'allow *')
  (
    umask 077
    ceph-authtool --create-keyring "$home/keyring" --gen-key -n mon. --cap mon 'allow *'
    ceph-authtool "$home/keyring" --gen-key -n client.admin "${everything[@]}" --cap mgr 'allow *'
    ceph-authtool "$home/keyring" --gen-key -n client.gateway "${everything[@]}"
  ) >/dev/null
  mkdir -p "$home/monitor" "$home/disk" "$home/gateway"
  local id
  id=$(sed -n 's/^fsid = //p' "$CEPH_CONF")
  monmaptool --create --fsid "$id" --addv a "[v2:127.0.0.1:$((port + 1))]" "$home/monmap" >/dev/null
  ceph-mon -i a --mkfs --mon-data "$home/monitor" --monmap "$home/monmap" --keyring "$home/keyring"
}

add_disk() {
  local uuid
  uuid=$(cat /proc/sys/kernel/random/uuid)
  ceph osd new "$uuid" >/dev/null
  (umask 077; ceph auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' >"$home/disk/keyring")
  ceph-osd -i 0 --mkfs --osd-data "$home/disk" --osd-uuid "$uuid" --keyring "$home/disk/keyring" \
    >>"$home/disk.log" 2>&1
}

add_user() { # Ceph draws the keys; they go to a file that only we can read
  local answer
  answer=$(radosgw-admin -n client.admin user create --uid=decloud --display-name=decloud | tr -d '\\')
  (
    umask 077
    {
      echo "AWS_ENDPOINT_URL=http://127.0.0.1:$port"
      sed -n 's/.*"access_key": "\(.*\)".*/AWS_ACCESS_KEY_ID=\1/p; s/.*"secret_key": "\(.*\)".*/AWS_SECRET_ACCESS_KEY=\1/p' <<<"$answer"
      echo "AWS_DEFAULT_REGION=us-east-1"
    } >"$home/s3.env"
  )
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$port"); }

case $action in
stop) halt ;;
start)
  if [ -s "$home/gateway.pid" ] && kill -0 "$(cat "$home/gateway.pid")" 2>/dev/null; then
    echo "ceph: running already; set -a; . $home/s3.env"
    exit 0
  fi
  fresh=yes port=${3:-7480}
  if [ -s "$home/s3.env" ]; then
    fresh=no port=$(sed -n 's/^AWS_ENDPOINT_URL=.*://p' "$home/s3.env")
  fi
  trap '[ $? -eq 0 ] || halt' EXIT
  if [ $fresh = yes ]; then describe; format; fi
  launch monitor ceph-mon -f -i a --mon-data "$home/monitor"
  await monitor 150 timeout 5 ceph status
  if [ $fresh = yes ]; then add_disk; fi
  launch disk ceph-osd -f -i 0 --osd-data "$home/disk" --keyring "$home/disk/keyring"
  launch gateway radosgw -f -n client.gateway
  await gateway 300 listening
  if [ $fresh = yes ]; then add_user; fi
  echo "ceph: serving S3 on 127.0.0.1:$port; set -a; . $home/s3.env"
  ;;
*) usage ;;
esac
