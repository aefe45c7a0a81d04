# The core and what the three stages need; --build-arg EXTRAS=offline,robot,sweep,export,track,fast,finite for all there is.
#   docker build -t asymmetric-learning .
#   docker run --rm -v "$PWD/logs:/work/logs" asymmetric-learning train --config_env=configs/envs/heaven_hell.py
FROM python:3.11-slim
ARG EXTRAS=offline
# An index with builds of PyTorch without CUDA makes a far smaller image for machines without a GPU.
ARG PIP_EXTRA_INDEX_URL
COPY pyproject.toml requirements.txt README.md LICENSE main.py main_collect_data.py main_pretrain_representations.py /source/
COPY buffers /source/buffers
COPY configs /source/configs
COPY envs /source/envs
COPY policies /source/policies
COPY scripts /source/scripts
COPY torchkit /source/torchkit
COPY utils /source/utils
RUN pip install --no-cache-dir -c /source/requirements.txt "/source[${EXTRAS}]" && rm -rf /source
WORKDIR /work
ENTRYPOINT ["asymmetric-learning"]
CMD ["--help"]
