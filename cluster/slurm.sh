#!/usr/bin/env bash
# Rendered by `metasearch cluster render slurm`; change the cluster file and render again.
# Submit it in the folder from which experiments/gpu-cluster.yaml is named:
#   sbatch slurm.sh
# A requeued or resubmitted job goes on with the sweep. Ended in order: scancel --batch --signal=TERM JOBID
#SBATCH --job-name=metasearch
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --mem=32768M
#SBATCH --time=1440
#SBATCH --signal=B:TERM@120
#SBATCH --output=metasearch-%j.out
#SBATCH --requeue
set -euo pipefail

: "${SLURM_JOB_ID:?submit this script with sbatch}" "${SLURM_JOB_NODELIST:?}" "${SLURM_CPUS_PER_TASK:?}"
. .venv/bin/activate

export RAY_AUTH_MODE=token                      # other users of these nodes cannot speak to this cluster
export RAY_USAGE_STATS_ENABLED=0
# In the home folder, which all nodes share. Ray itself leaves the token readable for everybody.
(umask 077 && ray get-auth-token --generate > /dev/null && chmod go= "${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}")

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
port=${METASEARCH_PORT:-$(( 20000 + SLURM_JOB_ID % 20000 ))}    # two jobs of one node do not meet
head_ip=$(srun --nodes=1 --ntasks=1 -w "${nodes[0]}" hostname --ip-address | awk '{print $1}')
folder=${METASEARCH_RAY_FOLDER:-/tmp/ray-$SLURM_JOB_ID}            # sockets: a short path on a local disk
steps=()

finish() {
  for step in "${steps[@]}"; do kill -TERM "$step" 2> /dev/null || true; done
  wait || true
  srun --nodes="${#nodes[@]}" --ntasks-per-node=1 --overlap rm -rf -- "$folder" || true
}
trap finish EXIT

start() {   # start NODE ARGUMENTS…: one Ray node, as long as this job lives
  local node=$1; shift
  srun --nodes=1 --ntasks=1 --overlap -w "$node" ray start --block --disable-usage-stats "$@" &
  steps+=("$!")
}

start "${nodes[0]}" --head --node-ip-address="$head_ip" --port="$port" --include-dashboard=false --temp-dir="$folder" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus=1

for (( tries = 0; ; tries++ )); do
  if (: < "/dev/tcp/$head_ip/$port") 2> /dev/null; then break; fi
  if (( tries >= 120 )); then echo "Ray's head on ${nodes[0]} does not answer at $head_ip:$port" >&2; exit 1; fi
  if ! kill -0 "${steps[0]}" 2> /dev/null; then echo "Ray's head on ${nodes[0]} ended; see above" >&2; exit 1; fi
  sleep 1
done

for node in "${nodes[@]:1}"; do
  start "$node" --address="$head_ip:$port" --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus=1
done

metasearch launch experiments/gpu-cluster.yaml --store s3://bucket/sweeps --address "$head_ip:$port" --or-resume -q &
driver=$!
trap 'kill -TERM "$driver" 2> /dev/null || true' TERM     # notice before the time is up: end in order, ready to resume
status=0
while true; do
  wait "$driver" && status=0 || status=$?
  kill -0 "$driver" 2> /dev/null || break     # a signal ends the wait, not the driver
done
exit "$status"
