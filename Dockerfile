# The server, the workers and the command line in one image. Only what COPY names comes in; see
# .dockerignore. docs/server.md tells how to run it.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build

COPY requirements/bootstrap.txt requirements/build.txt requirements/run.txt requirements/
RUN python -m pip install --require-hashes -r requirements/bootstrap.txt
# The locked packages are a layer of their own, which a change of Conduit leaves as it is.
RUN uv venv /opt/conduit && \
    uv pip install --python /opt/conduit/bin/python --require-hashes -r requirements/run.txt

COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY dashboard dashboard
COPY src src
RUN uv pip install --python /opt/conduit/bin/python --no-deps \
    --build-constraints requirements/build.txt .


FROM python:3.12-slim
RUN groupadd --gid 10001 conduit && \
    useradd --uid 10001 --gid conduit --no-create-home --shell /usr/sbin/nologin conduit && \
    install --directory --owner conduit --group conduit /data /services
COPY --from=build /opt/conduit /opt/conduit
ENV PATH=/opt/conduit/bin:$PATH PYTHONUNBUFFERED=1 CONDUIT_DATA_DIR=/data
USER 10001:10001
WORKDIR /services
VOLUME /data
EXPOSE 8080

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=4)"]

# It listens beyond the container, so it starts only with CONDUIT_API_KEYS, and says so.
CMD ["conduit", "server", "start", "--host", "0.0.0.0"]
