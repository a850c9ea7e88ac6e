# syntax=docker/dockerfile:1
# docker build -t tunegate .                      for machines without a GPU
# docker build -t tunegate --build-arg EXTRA=gpu . for machines with one
# docker run --rm -v tunegate-home:/home/tunegate/home -v "$PWD/configs:/configs:ro" tunegate release /configs/support-bot.yaml

FROM python:3.11-slim-bookworm AS build
ARG EXTRA=cpu
ENV VIRTUAL_ENV=/opt/tunegate PATH=/opt/tunegate/bin:$PATH PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 UV_HTTP_TIMEOUT=180
RUN python -m venv /opt/tunegate && pip install "uv==0.13.*"
# PyTorch first: it is the largest part and the one that changes least.
RUN if [ "$EXTRA" = cpu ]; then \
        pip install "torch==2.13.0+cpu" --extra-index-url https://download.pytorch.org/whl/cpu; \
    fi
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY tunegate_core tunegate_core
COPY finetune finetune
COPY eval eval
COPY governance governance
COPY serving serving
COPY tunegate tunegate
# Not editable: the image holds the installed wheel only, so the code that is checked is the code that runs. With bytecode:
# the user below can't write it, and every Ray worker would compile what it imports.
RUN uv pip install --compile-bytecode --index-strategy unsafe-best-match ".[$EXTRA]"

FROM python:3.11-slim-bookworm
# libgomp and libnuma are what PyTorch and vLLM link to; git is read for the state of a config's folder.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git=1:2.* libgomp1=12.* libnuma1=2.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 --user-group tunegate \
    && install -d -o tunegate -g tunegate -m 0700 /home/tunegate/home
COPY --from=build /opt/tunegate /opt/tunegate
# PYTHONSAFEPATH: a folder named like one of our packages in the working folder must not be imported.
ENV PATH=/opt/tunegate/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 TUNEGATE_HOME=/home/tunegate/home
USER 10001:10001
WORKDIR /home/tunegate
VOLUME /home/tunegate/home
ENTRYPOINT ["tunegate"]
CMD ["--help"]
