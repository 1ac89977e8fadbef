# The robot computer: drivers, simulation and the policy on a CPU.
#   docker build -f docker/robot.Dockerfile -t mivla/robot .
FROM python:3.11-slim-bookworm

# iproute2 brings up CAN interfaces; v4l-utils names USB cameras.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash iproute2 can-utils v4l-utils make g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /mivla
COPY . .
# PyTorch without CUDA; --build-arg TORCH_INDEX=default takes the one of pip's own index.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN MIVLA_TORCH_INDEX=$TORCH_INDEX scripts/setup.sh

ENV PATH=/mivla/.venv/bin:$PATH
ENTRYPOINT ["mivla"]
CMD ["--help"]
