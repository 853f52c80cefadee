#!/usr/bin/env bash
# Slurm: four nodes of eight GPUs for Qwen3-32B, whole nodes, of which the first is also Ray's head. Submit it from a
# checkout on a file system that all nodes share, after `make install-gpu` there (docs/cluster.md):
#     sbatch --export=ALL,RUN_NAME=qwen-1 cluster/clouds/slurm.sh
# The same command continues the run. `scancel --batch --signal=TERM JOB` ends it with a checkpoint.
#SBATCH --job-name=pb-rlsvr
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=96
#SBATCH --mem=0
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@1800
#SBATCH --output=slurm-%x-%j.log
set -euo pipefail

project=${SLURM_SUBMIT_DIR:?submit this script with sbatch, from the checkout}
config=${CONFIG:-$project/configs/qwen3-32b-32gpu.toml}
name=${RUN_NAME:?give the run a name: sbatch --export=ALL,RUN_NAME=...}
[[ -x $project/.venv/bin/ray ]] || { echo "there is no .venv in $project: run make install-gpu there" >&2; exit 2; }

export PATH="$project/.venv/bin:$PATH"
export PB_RLSVR_HOME="${PB_RLSVR_HOME:-$project}"
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=900
ray get-auth-token --generate > /dev/null   # once; the home folder is shared, so all nodes have it

address="$(hostname --all-ip-addresses | cut -d' ' -f1):6379"
pid_file=$(mktemp)
on_all_nodes=(ray symmetric-run --address "$address" --min-nodes "$SLURM_NNODES" --dashboard-host=127.0.0.1 --)
# The driver's process id is written down, so that the signal before the time limit reaches it alone. RAY_ADDRESS is for
# the driver alone, too: without it the driver would start a Ray of its own.
# shellcheck disable=SC2016  # the inner shell expands these
driver=(bash -c 'echo $$ > "$1"; RAY_ADDRESS="$2" exec python "$3" train "$4" run.name="$5"' driver
  "$pid_file" "$address" "$project/driver/run.py" "$config" "$name")

if (( SLURM_NNODES > 1 )); then
  srun --nodes=$((SLURM_NNODES - 1)) --ntasks=$((SLURM_NNODES - 1)) --relative=1 "${on_all_nodes[@]}" "${driver[@]}" &
fi
"${on_all_nodes[@]}" "${driver[@]}" &
head=$!
trap 'kill -TERM "$(< "$pid_file")" || kill "$head"' TERM   # the run writes a checkpoint (checkpoint.grace_s)

while kill -0 "$head" 2> /dev/null; do
  wait "$head" || true   # it returns at a signal, too: then the run is still writing
done
rm -f "$pid_file"
wait "$head"
