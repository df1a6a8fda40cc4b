#!/usr/bin/env bash
# Rendered by `metasearch cluster render ssh`; change the cluster file and render again.
#   bash ssh.sh start     one Ray node on every host, and a head that runs no trials
#   bash ssh.sh launch    the sweep, on the head; it survives this terminal. Again: goes on with the sweep
#   bash ssh.sh status    which nodes run
#   bash ssh.sh stop      ends the driver in order, then these nodes; no other Ray of the user's
set -euo pipefail

user=ubuntu
head=10.0.0.10
workers=(10.0.0.11 10.0.0.12)
port=6379
name=metasearch
folder=${METASEARCH_RAY_FOLDER:-/tmp/ray-$name}    # sockets: a short path on a local disk

on() {   # on HOST: runs the shell lines of standard input there
  ssh -o BatchMode=yes -o ConnectTimeout=10 "$user@$1" bash -s
}

# What every host does first. Homes may be shared, so files are named by host; a process number may be another's by now.
enter() {
  printf '%s\n' 'set -euo pipefail' '. .venv/bin/activate' 'export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0' \
    'alive() { pid=$(cat "$1.pid" 2> /dev/null) && grep -qaE "ray|metasearch" "/proc/$pid/cmdline" 2> /dev/null; }'
}

share_token() {   # only whoever has the token may speak to this cluster
  local token
  token=$({ enter; cat <<END; } | on "$head")
umask 077
ray get-auth-token --generate > /dev/null
chmod go= ~/.ray/auth_token
cat ~/.ray/auth_token
END
  for host in "${workers[@]}"; do
    echo "umask 077; mkdir -p ~/.ray; printf %s '$token' > ~/.ray/auth_token" | on "$host"
  done
}

start_node() {   # start_node HOST NAME ARGUMENTS…: returns once Ray runs; it lives on after the connection
  local host=$1 file="\$HOME/.$name-$2-$1"; shift 2
  { enter; cat <<END; } | on "$host" || { echo "$host: Ray did not start" >&2; exit 1; }
if alive "$file"; then echo "$host: Ray is running"; exit 0; fi
setsid nohup ray start --block --disable-usage-stats --node-ip-address=$host $* > "$file.log" 2>&1 < /dev/null &
echo \$! > "$file.pid"
for (( tries = 0; tries < 60; tries++ )); do
  if grep -q 'Ray runtime started' "$file.log"; then echo "$host: Ray started"; exit 0; fi
  sleep 1
  alive "$file" || break
done
tail -n 5 "$file.log" >&2
exit 1
END
}

stop_process() {   # stop_process HOST NAME: ends it in order and waits
  local file="\$HOME/.$name-$2-$1"
  { enter; cat <<END; } | on "$1"
if alive "$file"; then kill -TERM "\$pid"; fi
for (( tries = 0; tries < 120; tries++ )); do alive "$file" || break; sleep 1; done
rm -f "$file.pid"
END
}

case "${1:-}" in
  start)
    share_token
    start_node "$head" head --head --port="$port" --include-dashboard=false --temp-dir="$folder" --num-cpus=0 --num-gpus=0
    for host in "${workers[@]}"; do
      start_node "$host" worker --address="$head:$port" --num-cpus=8 --num-gpus=1
    done ;;
  launch)
    file="\$HOME/.$name-driver-$head"
    {
      echo 'mkdir -p "$(dirname experiments/gpu-cluster.yaml)"; cat > experiments/gpu-cluster.yaml <<"END OF SWEEP"'
      cat experiments/gpu-cluster.yaml
      printf '\nEND OF SWEEP\n'
    } | on "$head"
    { enter; cat <<END; } | on "$head"
if alive "$file"; then echo "$head: the driver is running"; exit 0; fi
setsid nohup metasearch launch experiments/gpu-cluster.yaml --store s3://bucket/sweeps --address 10.0.0.10:6379 --or-resume -q > "$file.log" 2>&1 < /dev/null &
echo \$! > "$file.pid"
echo "$head: launched, its output goes to $file.log. From everywhere: metasearch watch --store s3://bucket/sweeps"
END
    ;;
  status)
    { enter; echo "ray status --address=$head:$port"; } | on "$head" ;;
  stop)
    stop_process "$head" driver
    for host in "${workers[@]}"; do stop_process "$host" worker; done
    stop_process "$head" head ;;
  *)
    echo "usage: bash ssh.sh start|launch|status|stop" >&2
    exit 2 ;;
esac
