# `finetext serve` without a network at run time, for x86-64.
#
#   docker build -t finetext .
#   docker run --init -p 8000:8000 -e FINETEXT_TOKEN -v "$PWD/runs/reviews:/model:ro" finetext
#
# --init clears away processes whose parent was killed, as with --workers.
# With the model inside; .dockerignore keeps it out of a build in this folder:
#   printf 'FROM finetext\nCOPY . /model\n' | docker build -t reviews -f - runs/reviews
FROM python:3.11-slim-bookworm AS build

# Of pyproject.toml; add "export" for ONNX models, "sentencepiece" or "gliclass" where a model needs it.
ARG EXTRAS=serve,otel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/finetext/bin:$PATH
RUN python -m venv /opt/finetext
WORKDIR /src
COPY constraints.txt requirements-cpu.lock ./
RUN pip install --no-deps --require-hashes --extra-index-url https://download.pytorch.org/whl/cpu \
        -r requirements-cpu.lock
COPY LICENSE README.md pyproject.toml ./
COPY src src
RUN pip install -c constraints.txt ".[${EXTRAS}]"

FROM python:3.11-slim-bookworm

COPY --from=build /opt/finetext /opt/finetext
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin finetext
ENV PATH=/opt/finetext/bin:$PATH HOME=/tmp HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Of the default port: with another --port, give docker run --health-cmd or --no-healthcheck, too.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["finetext", "serve"]
CMD ["/model", "--host", "0.0.0.0", "--log-format", "json", "--quiet"]
