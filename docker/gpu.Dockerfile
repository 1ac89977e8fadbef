# The GPU host: training and the policy on CUDA. Needs the NVIDIA container toolkit; PyTorch brings CUDA itself.
#   docker build -f docker/gpu.Dockerfile -t mivla/gpu .
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends bash make g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /mivla
COPY . .
# No card is visible while an image is built, so CUDA is asked for.
RUN MIVLA_TORCH_INDEX=default scripts/setup.sh

ENV PATH=/mivla/.venv/bin:$PATH
ENTRYPOINT ["mivla"]
CMD ["--help"]
