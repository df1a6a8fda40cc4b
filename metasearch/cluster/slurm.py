"""One Slurm script for N nodes: Ray's head on the first, workers on all, the driver in the batch step."""

from __future__ import annotations

from metasearch.cluster.config import ClusterFile

_SCRIPT = """\
#!/usr/bin/env bash
# Rendered by `metasearch cluster render slurm`; change the cluster file and render again.
# Submit it in the folder from which {sweep} is named:
#   sbatch slurm.sh
# A requeued or resubmitted job goes on with the sweep. Ended in order: scancel --batch --signal=TERM JOBID
{directives}
set -euo pipefail

: "${{SLURM_JOB_ID:?submit this script with sbatch}}" "${{SLURM_JOB_NODELIST:?}}" "${{SLURM_CPUS_PER_TASK:?}}"
{setup}

export RAY_AUTH_MODE=token                      # other users of these nodes cannot speak to this cluster
export RAY_USAGE_STATS_ENABLED=0
# In the home folder, which all nodes share. Ray itself leaves the token readable for everybody.
(umask 077 && ray get-auth-token --generate > /dev/null && chmod go= "${{RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}}")

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=${{METASEARCH_PORT:-$(( 20000 + SLURM_JOB_ID % 20000 ))}}    # two jobs of one node do not meet
head_ip=$(srun --nodes=1 --ntasks=1 -w "${{nodes[0]}}" hostname --ip-address | awk '{{print $1}}')
folder=${{METASEARCH_RAY_FOLDER:-/tmp/ray-$SLURM_JOB_ID}}            # sockets: a short path on a local disk
steps=()

finish() {{
  for step in "${{steps[@]}}"; do kill -TERM "$step" 2> /dev/null || true; done
  wait || true
  srun --nodes="${{#nodes[@]}}" --ntasks-per-node=1 --overlap rm -rf -- "$folder" || true
}}
trap finish EXIT

start() {{   # start NODE ARGUMENTS…: one Ray node, as long as this job lives
  local node=$1; shift
  srun --nodes=1 --ntasks=1 --overlap -w "$node" ray start --block --disable-usage-stats "$@" &
  steps+=("$!")
}}

start "${{nodes[0]}}" --head --node-ip-address="$head_ip" --port="$port" --include-dashboard=false --temp-dir="$folder" \\
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus={gpus}

for (( tries = 0; ; tries++ )); do
  if (: < "/dev/tcp/$head_ip/$port") 2> /dev/null; then break; fi
  if (( tries >= 120 )); then echo "Ray's head on ${{nodes[0]}} does not answer at $head_ip:$port" >&2; exit 1; fi
  if ! kill -0 "${{steps[0]}}" 2> /dev/null; then echo "Ray's head on ${{nodes[0]}} ended; see above" >&2; exit 1; fi
  sleep 1
done

for node in "${{nodes[@]:1}}"; do
  start "$node" --address="$head_ip:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus={gpus}
done

metasearch launch {sweep} --store {store} --address "$head_ip:$port" --or-resume -q &
driver=$!
trap 'kill -TERM "$driver" 2> /dev/null || true' TERM     # notice before the time is up: end in order, ready to resume
status=0
while true; do
  wait "$driver" && status=0 || status=$?
  kill -0 "$driver" 2> /dev/null || break     # a signal ends the wait, not the driver
done
exit "$status"
"""


def script(config: ClusterFile) -> str:
    workers, settings = config.workers, config.slurm
    options = {
        "job-name": config.name,
        "nodes": workers.count,
        "ntasks-per-node": 1,
        "cpus-per-task": workers.cpus,
        "gpus-per-node": workers.gpus or None,
        "mem": f"{workers.memory // 2**20}M",
        "time": f"{int(settings.time) // 60}",  # in minutes
        "partition": settings.partition or None,
        "account": settings.account or None,
        "signal": f"B:TERM@{int(config.grace)}",
        "output": f"{config.name}-%j.out",
    }
    directives = [f"#SBATCH --{name}={value}" for name, value in options.items() if value is not None]
    return _SCRIPT.format(
        directives="\n".join([*directives, "#SBATCH --requeue"]),
        setup=settings.setup,
        gpus=workers.gpus,
        sweep=config.sweep,
        store=config.store,
    )
