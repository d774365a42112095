# ftwatch in a container, with the kinds of AWS and Google. docs/operations.md says how it is used.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements/build.txt requirements/image.txt requirements/
RUN python -m venv /build \
 && /build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && python -m venv /opt/ftwatch \
 && /opt/ftwatch/bin/pip install --no-cache-dir --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY ftwatch ftwatch
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/ftwatch/bin/pip install --no-cache-dir --no-deps /wheels/*.whl \
 && /opt/ftwatch/bin/ftwatch --version \
 && /opt/ftwatch/bin/pip uninstall --yes pip

FROM python:3.12-slim
COPY --from=build /opt/ftwatch /opt/ftwatch
# Nobody's user: whoever mounts a database or a secret gives it this number.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/ftwatch /run/ftwatch
ENV PATH=/opt/ftwatch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    FTWATCH_CONFIG=/etc/ftwatch/ftwatch.yaml \
    STATE_DIRECTORY=/var/lib/ftwatch \
    RUNTIME_DIRECTORY=/run/ftwatch
USER 10001:10001
VOLUME /var/lib/ftwatch
EXPOSE 8787
# Whether it has to be started anew, which a dead letter is no reason for.
HEALTHCHECK --interval=1m --timeout=20s --start-period=2m --retries=3 CMD ["ftwatch", "status", "--alive"]
ENTRYPOINT ["ftwatch"]
CMD ["run", "--wait-lock", "30s"]
