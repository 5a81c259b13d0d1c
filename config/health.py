"""Health checks for load balancers and container engines: liveness and readiness.

A response names only the failing part; the reason is in the log.
"""

import logging

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from batches.conf import conf
from batches.database import connection

logger = logging.getLogger("batches.health")

# kombu tries a broker twice; both within a second.
BROKER_ATTEMPT_S = 0.5


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """Return 200 if the database answers, else 503."""
    return _answer(database=database_answers())


@require_safe
@never_cache
def readyz(_request: HttpRequest) -> JsonResponse:
    """Return 200 if the database and the broker answer, else 503."""
    return _answer(database=database_answers(), broker=broker_answers())


def database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.warning("The database does not answer: %s", error)
        return False
    return True


def broker_answers() -> bool:
    """Return True if the broker, of any kind, accepts a connection within a second, or none is
    needed."""
    patience = {
        "socket_timeout": BROKER_ATTEMPT_S,
        "socket_connect_timeout": BROKER_ATTEMPT_S,
    }
    if conf().DOORBELL != "celery":
        return True
    from kombu import Connection  # noqa: PLC0415 - only a project with Celery has it
    from kombu.exceptions import KombuError  # noqa: PLC0415 - the same

    options = dict(settings.CELERY_BROKER_TRANSPORT_OPTIONS)
    options.update((name, value) for name, value in patience.items() if name in options)
    broker = Connection(
        settings.CELERY_BROKER_URL, connect_timeout=BROKER_ATTEMPT_S, transport_options=options
    )
    try:
        with broker:
            broker.ensure_connection(
                max_retries=1, interval_start=0, interval_step=0, interval_max=0
            )
    except (KombuError, OSError) as error:
        logger.warning("The broker does not answer: %s", error)
        return False
    return True


def _answer(**parts: bool) -> JsonResponse:
    failing = [name for name, answers in parts.items() if not answers]
    if failing:
        return JsonResponse({"status": "failing", "failing": failing}, status=503)
    return JsonResponse({"status": "ok"})
