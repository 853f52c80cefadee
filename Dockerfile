# One image for all nodes of a cluster: docker build --build-arg DEVICE=gpu -t REGISTRY/pb-rlsvr:0.1.0-gpu .
# Debian 12 has Python 3.11. CUDA's libraries come with torch; the machine brings NVIDIA's driver and container toolkit.
# Give a container memory to share, which NCCL and Ray's object store need: --shm-size=32g.
FROM debian:bookworm-slim

ARG DEVICE=cpu
# Where packages come from; empty: their public index.
ARG PIP_INDEX_URL=
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# g++ and Python's headers: DeepSpeed and Triton compile kernels when they start. rsync: Ray's launcher copies with it.
# Debian keeps one version of a package in a release, so none is named. The shell that logs in expands the PATH.
# hadolint ignore=DL3008,SC2016
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        ca-certificates g++ make procps python3.11 python3.11-dev python3.11-venv rsync \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --create-home --shell /bin/bash pb-rlsvr \
    && install --directory --owner=pb-rlsvr --group=pb-rlsvr /opt/pb-rlsvr /shared /shared/pb-rlsvr \
    && echo 'export PATH=/opt/pb-rlsvr/.venv/bin:$PATH' > /etc/profile.d/pb-rlsvr.sh

USER 1000
WORKDIR /opt/pb-rlsvr
# PATH: for login shells, which Ray's launcher starts, it is in /etc/profile.d as well.
ENV PATH=/opt/pb-rlsvr/.venv/bin:$PATH \
    PB_RLSVR_HOME=/shared/pb-rlsvr \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0

# The packages are a layer of their own: a change of the code builds nothing of them again.
COPY --chown=pb-rlsvr:pb-rlsvr Makefile ./
COPY --chown=pb-rlsvr:pb-rlsvr requirements requirements/
RUN if [ "$DEVICE" = gpu ]; then make install-gpu; \
    elif [ "$DEVICE" = cpu ]; then make install TORCH_INDEX="$TORCH_INDEX"; \
    else echo "DEVICE is cpu or gpu, not $DEVICE" >&2; exit 2; fi \
    && rm -rf ~/.cache

COPY --chown=pb-rlsvr:pb-rlsvr . .

# No HEALTHCHECK: KubeRay adds its own probes of Ray's processes, and Ray's launcher looks for itself.
CMD ["python", "driver/run.py", "--help"]
