"""Find what a template reads of a row, so that a page can refuse what it does not show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Model
from jinja2 import nodes

from batches.conf import conf
from batches.inputs.row_templates.sandbox import ROW, RowEnvironment, checked_tree
from batches.inputs.row_templates.sources import TemplateMessage
from batches.inputs.row_templates.work_meter import WorkMeter
from batches.writeback.dotted_names import Path, with_items
from batches.writeback.row_cells import paths_of
from batches.writeback.row_prompts import read_lookups, row_template

# What stands around an expression of which a template only asks whether it is true.
_CHOICES = (nodes.If, nodes.CondExpr)


@dataclass(frozen=True, slots=True)
class TemplateRead:
    """Names that lead from the row to a value; none for the row itself.

    `is_tested` if the template only asks whether there is a value. Otherwise it may use all that
    is inside the value.
    """

    path: Path
    is_tested: bool

    def __str__(self) -> str:
        return ".".join((ROW, *self.path))


def reads_in(model: type[Model], messages: Sequence[TemplateMessage]) -> list[TemplateRead]:
    """Return all that the messages of a template can read. Raise TemplateRefused.

    Cells are in reach only by the name of the row and by the names of its columns: each place of
    such a name is a read, with the names that follow it directly. The rows inside a value that is
    used as a whole are the ones of the lookups.
    """
    most = conf().MAX_LINE_BYTES
    columns = frozenset(row_template(messages, max_chars=most).columns)
    environment = RowEnvironment(WorkMeter(most))
    found: dict[TemplateRead, None] = {}
    for message in messages:
        tree = checked_tree(environment, with_items(message.content))
        found |= dict.fromkeys(_reads(tree, columns))
    lookups = paths_of(read_lookups(model, messages))
    return [*found, *(TemplateRead(path, is_tested=True) for path in lookups)]


def _reads(tree: nodes.Template, columns: frozenset[str]) -> Iterator[TemplateRead]:
    above = {id(child): node for node in _all_nodes(tree) for child in node.iter_child_nodes()}
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load" or name.name not in {ROW, *columns}:
            continue
        path: Path = () if name.name == ROW else (name.name,)
        node: nodes.Node = name
        while step := _step(above[id(node)], node):
            path, node = (*path, step), above[id(node)]
        yield TemplateRead(path, _is_tested(node, above))


def _all_nodes(tree: nodes.Template) -> Iterator[nodes.Node]:
    yield tree
    yield from tree.find_all(nodes.Node)


def _step(parent: nodes.Node, node: nodes.Node) -> str:
    """Return the name by which a parent reads an item of a node; "" if it does something else."""
    if isinstance(parent, nodes.Getattr):
        return parent.attr
    if not isinstance(parent, nodes.Getitem) or parent.node is not node:
        return ""
    name = parent.arg.value if isinstance(parent.arg, nodes.Const) else None
    return name if isinstance(name, str) else ""


def _is_tested(node: nodes.Node, above: dict[int, nodes.Node]) -> bool:
    """Return True if a template only asks whether a value is true, or is none."""
    parent = above[id(node)]
    while isinstance(parent, nodes.And | nodes.Or):
        # The value of `a or b` is one of both.
        node, parent = parent, above[id(parent)]
    if isinstance(parent, _CHOICES):
        return parent.test is node
    return isinstance(parent, nodes.Not | nodes.Test)
