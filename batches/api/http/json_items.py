"""The beginning of a JSON list, cut by the database, so that the rest need not be read."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, JSONField
from django.db.models.sql.compiler import SQLCompiler


class FirstItems(Func):
    """The first `most` objects of a JSON list."""

    arity = 1
    output_field = JSONField()

    def __init__(self, expression: str, *, most: int) -> None:
        super().__init__(expression, most=most, last=most - 1)

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        template = "jsonb_path_query_array(%(expressions)s, '$[0 to %(last)d]')"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        template = (
            "(SELECT json_group_array(json(value)) FROM "
            "(SELECT value FROM json_each(%(expressions)s) LIMIT %(most)d))"
        )
        return self.as_sql(compiler, connection, template=template, **context)
