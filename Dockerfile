# One image for web, worker, beat and migrations; the command tells which.
FROM python:3.13-slim AS packages

RUN python -m venv /opt/venv
COPY requirements/production.txt /tmp/production.txt
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes -r /tmp/production.txt


FROM python:3.13-slim

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=config.settings \
    DATA_DIR=/srv/data

RUN useradd --system --uid 10001 --home-dir /srv --shell /usr/sbin/nologin threephase \
    && mkdir -p /srv/data \
    && chown threephase:threephase /srv/data

COPY --from=packages /opt/venv /opt/venv
WORKDIR /srv/app
COPY manage.py ./
COPY config ./config
COPY batches ./batches
COPY simulator ./simulator
# What the admin looks like; collecting needs settings, but nothing that they name.
RUN mkdir staticfiles \
    && DATA_DIR=/tmp/build python manage.py collectstatic --noinput --verbosity 0 \
         --ignore redoc \
    && rm -rf /tmp/build

USER 10001
VOLUME /srv/data
EXPOSE 8000

# A worker and beat have health checks of their own in docker-compose.yml.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

CMD ["uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--lifespan", "off", "--timeout-graceful-shutdown", "10"]
