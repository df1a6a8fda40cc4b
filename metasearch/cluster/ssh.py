"""Plain ssh and ``ray start``: one script for any number of hosts that neither a cloud nor a queue manages."""

from __future__ import annotations

from metasearch.cluster.config import ClusterFile
from metasearch.cluster.ray_up import launch_command

_SCRIPT = """\
#!/usr/bin/env bash
# Rendered by `metasearch cluster render ssh`; change the cluster file and render again.
#   bash ssh.sh start     one Ray node on every host, and a head that runs no trials
#   bash ssh.sh launch    the sweep, on the head; it survives this terminal. Again: goes on with the sweep
#   bash ssh.sh status    which nodes run
#   bash ssh.sh stop      ends the driver in order, then these nodes; no other Ray of the user's
set -euo pipefail

user={user}
head={head}
workers=({workers})
port={port}
name={name}
folder=${{METASEARCH_RAY_FOLDER:-/tmp/ray-$name}}    # sockets: a short path on a local disk

on() {{   # on HOST: runs the shell lines of standard input there
  ssh -o BatchMode=yes -o ConnectTimeout=10 "$user@$1" bash -s
}}

# What every host does first. Homes may be shared, so files are named by host; a process number may be another's by now.
enter() {{
  printf '%s\\n' 'set -euo pipefail' {setup} 'export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0' \\
    'alive() {{ pid=$(cat "$1.pid" 2> /dev/null) && grep -qaE "ray|metasearch" "/proc/$pid/cmdline" 2> /dev/null; }}'
}}

share_token() {{   # only whoever has the token may speak to this cluster
  local token
  token=$({{ enter; cat <<END; }} | on "$head")
umask 077
ray get-auth-token --generate > /dev/null
chmod go= ~/.ray/auth_token
cat ~/.ray/auth_token
END
  for host in "${{workers[@]}}"; do
    echo "umask 077; mkdir -p ~/.ray; printf %s '$token' > ~/.ray/auth_token" | on "$host"
  done
}}

start_node() {{   # start_node HOST NAME ARGUMENTS…: returns once Ray runs; it lives on after the connection
  local host=$1 file="\\$HOME/.$name-$2-$1"; shift 2
  {{ enter; cat <<END; }} | on "$host" || {{ echo "$host: Ray did not start" >&2; exit 1; }}
if alive "$file"; then echo "$host: Ray is running"; exit 0; fi
setsid nohup ray start --block --disable-usage-stats --node-ip-address=$host $* > "$file.log" 2>&1 < /dev/null &
echo \\$! > "$file.pid"
for (( tries = 0; tries < 60; tries++ )); do
  if grep -q 'Ray runtime started' "$file.log"; then echo "$host: Ray started"; exit 0; fi
  sleep 1
  alive "$file" || break
done
tail -n 5 "$file.log" >&2
exit 1
END
}}

stop_process() {{   # stop_process HOST NAME: ends it in order and waits
  local file="\\$HOME/.$name-$2-$1"
  {{ enter; cat <<END; }} | on "$1"
if alive "$file"; then kill -TERM "\\$pid"; fi
for (( tries = 0; tries < {grace}; tries++ )); do alive "$file" || break; sleep 1; done
rm -f "$file.pid"
END
}}

case "${{1:-}}" in
  start)
    share_token
    start_node "$head" head --head --port="$port" --include-dashboard=false --temp-dir="$folder" --num-cpus=0 --num-gpus=0
    for host in "${{workers[@]}}"; do
      start_node "$host" worker --address="$head:$port" --num-cpus={cpus} --num-gpus={gpus}
    done ;;
  launch)
    file="\\$HOME/.$name-driver-$head"
    {{
      echo 'mkdir -p "$(dirname {sweep})"; cat > {sweep} <<"END OF SWEEP"'
      cat {sweep}
      printf '\\nEND OF SWEEP\\n'
    }} | on "$head"
    {{ enter; cat <<END; }} | on "$head"
if alive "$file"; then echo "$head: the driver is running"; exit 0; fi
setsid nohup {launch} > "$file.log" 2>&1 < /dev/null &
echo \\$! > "$file.pid"
echo "$head: launched, its output goes to $file.log. From everywhere: metasearch watch --store {store}"
END
    ;;
  status)
    {{ enter; echo "ray status --address=$head:$port"; }} | on "$head" ;;
  stop)
    stop_process "$head" driver
    for host in "${{workers[@]}}"; do stop_process "$host" worker; done
    stop_process "$head" head ;;
  *)
    echo "usage: bash ssh.sh start|launch|status|stop" >&2
    exit 2 ;;
esac
"""


def script(config: ClusterFile) -> str:
    hosts, workers = config.on_premise, config.workers
    return _SCRIPT.format(
        user=hosts.user,
        head=hosts.head,
        workers=" ".join(hosts.workers),
        port=config.port,
        name=config.name,
        setup=_quoted(hosts.setup),
        grace=int(config.grace),
        cpus=workers.cpus,
        gpus=workers.gpus,
        sweep=config.sweep,
        store=config.store,
        launch=launch_command(config).replace("--address auto", f"--address {hosts.head}:{config.port}"),
    )


def _quoted(line: str) -> str:
    return "'" + line.replace("'", "'\\''") + "'"
