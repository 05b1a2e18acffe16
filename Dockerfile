# One image for every part of OptiInfra (`optiinfra exporter`, `optiinfra recommender`, …); the target `demo` adds the
# simulated engine and the load generator.
ARG PYTHON_IMAGE=python:3.13.14-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock requirements-dev.lock ./
RUN python -m venv /opt/optiinfra \
    && /opt/optiinfra/bin/pip install --requirement requirements.lock \
    && pip install --constraint requirements-dev.lock build hatchling
COPY LICENSE README.md pyproject.toml ./
COPY exporters exporters
COPY rules rules
COPY recommender recommender
COPY dashboards dashboards
RUN python -m build --wheel --no-isolation --outdir /dist \
    && /opt/optiinfra/bin/pip install --no-deps /dist/*.whl

FROM build AS build-demo
RUN /opt/optiinfra/bin/pip install --constraint requirements-dev.lock aiohttp

FROM ${PYTHON_IMAGE} AS runtime
RUN groupadd --gid 10001 optiinfra \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/optiinfra --create-home --shell /usr/sbin/nologin optiinfra
ENV PATH=/opt/optiinfra/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/optiinfra
USER 10001:10001

FROM runtime AS demo
COPY --from=build-demo /opt/optiinfra /opt/optiinfra
COPY demo /app/demo
ENV PYTHONPATH=/app
ENTRYPOINT ["python", "-m"]
CMD ["demo.engine", "--help"]

# The default target.
FROM runtime AS optiinfra
COPY --from=build /opt/optiinfra /opt/optiinfra
EXPOSE 8002 8003
ENTRYPOINT ["optiinfra"]
CMD ["--help"]
