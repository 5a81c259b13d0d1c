"""The language of templates: a part of Jinja's, in Jinja's sandbox, whose work is counted.

A template has only the statements, filters and tests that are named here. It calls no functions and
reads no attributes, so it cannot reach anything but the cells of the row. Operators, filters and
loops whose work depends on the row count it first (`WorkMeter`).
"""

from collections.abc import Callable, Mapping
from functools import partial, wraps
from math import isfinite
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes, pass_context
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.meta import TrackingCodeGenerator
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from batches.engine.text.wording import described, did_you_mean, named, quoted, shown
from batches.inputs.row_templates.filters import (
    FILTERS,
    WrongValue,
    concatenated,
    items_of,
    text_of,
)
from batches.inputs.row_templates.images import IMAGE
from batches.inputs.row_templates.sources import TemplateRefused
from batches.inputs.row_templates.work_meter import MAX_NUMBER_BITS, WorkMeter

ROW = "row"
MAX_SYMBOLS = 10_000
MAX_NODES = 5_000
# Statements and expressions inside each other. Python compiles them, and cannot nest much deeper.
MAX_TEMPLATE_DEPTH = 30
MAX_LOOP_DEPTH = 5
TESTS = ("none", "string", "number", "boolean", "odd", "even")
LOOP_FIELDS = ("index", "index0", "revindex", "revindex0", "first", "last", "length")
# Names that have a meaning of their own.
RESERVED = frozenset({ROW, "loop", "self"})

_ALLOWED = frozenset(
    {
        *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const),
        *(nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Slice),
        *(nodes.If, nodes.CondExpr, nodes.For, nodes.Assign, nodes.Filter, nodes.Test),
        *(nodes.Getitem, nodes.Getattr, nodes.Compare, nodes.Operand),
        *(nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Concat),
        *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    }
)
_TAGS: Mapping[type[nodes.Node], str] = {
    nodes.Macro: "{% macro %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.With: "{% with %}",
    nodes.AssignBlock: "{% set %} with {% endset %}",
    nodes.ScopedEvalContextModifier: "{% autoescape %}",
    nodes.NSRef: "a namespace",
    nodes.Pow: "the operator **",
}
# Methods that authors of templates call by habit, and what to write instead.
_HABITS = {"strip": "trim", "str": "string", "len": "length", "get": "default"}
# Filters that are inserted where the work is counted; no template can name them.
_CONCAT, _EQUAL, _SEARCHED, _BUILT, _REPEATED = "~", "==", "?", "[]", "*"


class RowEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's environment for rows: it has no functions and reads no attributes."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%"})

    def __init__(self, meter: WorkMeter) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            cache_size=0,
            finalize=partial(text_of, meter),
        )
        self.meter = meter
        self.globals.clear()
        self.tests = {name: self.tests[name] for name in TESTS}
        filters: dict[str, Callable[..., Any]] = {
            name: rule.function for name, rule in FILTERS.items()
        }
        filters[_CONCAT] = concatenated
        filters[_EQUAL] = _equal
        filters[_SEARCHED] = WorkMeter.searched
        filters[_BUILT] = WorkMeter.built
        filters[_REPEATED] = _repeated
        self.filters = {name: _bound(function, meter) for name, function in filters.items()}

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item of a mapping, list or text; never an attribute."""
        if isinstance(obj, StrictUndefined):
            str(obj)
        try:
            if isinstance(obj, str | list | tuple | Mapping):
                return obj[argument]
        except (LookupError, TypeError):
            pass
        if isinstance(obj, Mapping):
            return self.undefined(hint=f"There is no {shown(argument)} in the row or mapping.")
        return self.undefined(hint=f"There is no item {shown(argument)} in {described(obj)}.")

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a field of `loop`; nothing else has attributes."""
        if isinstance(obj, LoopContext) and attribute in LOOP_FIELDS:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def call(self, *_args: Any, **_named: Any) -> Any:
        raise WrongValue("A template cannot call functions.")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return the result for two numbers, or for two texts that are added."""
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            self.meter.allow_text(len(left) + len(right))
        elif not (_is_number(left) and _is_number(right)):
            for value in (left, right):
                if isinstance(value, StrictUndefined):
                    str(value)
            raise WrongValue(
                f"The operator {operator} needs two numbers, but has {described(left)} and "
                f"{described(right)}. The filter 'int' or 'float' gives the number in a cell; ~ "
                "joins texts."
            )
        elif operator == "*" and _bits(left) + _bits(right) > MAX_NUMBER_BITS:
            raise WrongValue("The result of the operator * is too large.")
        return super().call_binop(context, operator, left, right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _bits(value: float) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _bound(function: Callable[..., Any], meter: WorkMeter) -> Callable[..., Any]:
    # With the context, a filter is not evaluated while the template is compiled.
    @pass_context
    @wraps(function)
    def bound(_context: Context, *args: Any) -> Any:
        return function(meter, *args)

    return bound


def _equal(meter: WorkMeter, left: Any, right: Any) -> bool:
    """Return True for equal values. Refuse a text and a number, which are never equal."""
    for text, number in ((left, right), (right, left)):
        if isinstance(text, str) and type(number) in (int, float):
            raise WrongValue(
                f"The text {shown(text)} is compared with the number {number}. The filter 'int' "
                "or 'float' gives the number in a cell."
            )
    return bool(meter.searched(left) == meter.searched(right))


def _repeated(meter: WorkMeter, value: Any, weight: int) -> list[Any]:
    return meter.repeated(items_of(value), weight)


def checked_tree(environment: RowEnvironment, source: str) -> nodes.Template:
    """Parse and check a template, and add what counts its work. Raise TemplateRefused."""
    try:
        # Parsing takes much longer than this.
        _check_tokens(environment, source)
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        raise TemplateRefused(_syntax_fault(error), line=error.lineno) from error
    except RecursionError as error:
        raise _too_deep(1) from error
    except ValueError as error:
        # Python reads no whole number of thousands of digits; Jinja does not say where it is.
        raise TemplateRefused("A number in the template is too large.") from error
    _check_size(tree)
    for node in tree.find_all(nodes.Node):
        _check_node(node)
    return tree


def names_in(environment: RowEnvironment, tree: nodes.Template) -> list[str]:
    """Return the columns that a template names, in order."""
    names: list[str] = []
    tracker = TrackingCodeGenerator(environment)
    # It would replace expressions in the tree by their values.
    tracker.optimizer = None
    tracker.visit(tree)
    outer = tracker.undeclared_identifiers
    for node in tree.find_all((nodes.Name, nodes.Getitem, nodes.Getattr)):
        name = _column_of(node)
        if name is None and isinstance(node, nodes.Name) and node.name in outer - {ROW}:
            name = node.name
        if name is not None:
            names.append(name)
    return names


def has_images(tree: nodes.Template) -> bool:
    """Return True if a template makes images of cells."""
    return any(node.name == IMAGE for node in tree.find_all(nodes.Filter))


def reads_whole_row(tree: nodes.Template) -> bool:
    return any(map(_is_row, tree.find_all(nodes.Name)))


def _column_of(node: nodes.Node) -> str | None:
    """Return the column that is read as row["name"] or row.name."""
    if not isinstance(node, nodes.Getitem | nodes.Getattr) or not _is_row(node.node):
        return None
    if isinstance(node, nodes.Getattr):
        return node.attr
    is_text = isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
    return node.arg.value if is_text else None  # type: ignore[attr-defined]  # a Const


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == ROW


def _syntax_fault(error: TemplateSyntaxError) -> str:
    text = str(error.message or "")
    return f"The template is not valid: {text[:1].lower()}{text[1:].rstrip('.')}."


def _too_deep(line: int) -> TemplateRefused:
    return TemplateRefused(
        f"The template is nested more than {MAX_TEMPLATE_DEPTH} levels deep.", line=line
    )


def _check_tokens(environment: RowEnvironment, source: str) -> None:
    count = 0
    for line, kind, _ in environment.lex(source):
        count += kind not in ("data", "whitespace")
        if count > MAX_SYMBOLS:
            message = f"The template has more than {MAX_SYMBOLS:,} names and symbols."
            raise TemplateRefused(message, line=line)


def _check_size(tree: nodes.Template) -> None:
    """Refuse a tree with too many nodes or levels, without recursion."""
    count = depth = 0
    level: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while level:
        depth += 1
        below: list[tuple[nodes.Node, int]] = []
        for node, loops in level:
            count += 1
            inner = loops + isinstance(node, nodes.For)
            if depth > MAX_TEMPLATE_DEPTH:
                raise _too_deep(node.lineno)
            if inner > MAX_LOOP_DEPTH:
                message = f"Loops are nested more than {MAX_LOOP_DEPTH} levels deep."
                raise TemplateRefused(message, line=node.lineno)
            below += ((child, inner) for child in node.iter_child_nodes())
        if count > MAX_NODES:
            raise TemplateRefused(f"The template has more than {MAX_NODES:,} parts.")
        level = below


def _check_node(node: nodes.Node) -> None:
    fault = ""
    if isinstance(node, nodes.Call):
        fault = _call_fault(node)
    elif type(node) not in _ALLOWED:
        what = _TAGS.get(type(node), type(node).__name__)
        fault = f"{what[:1].upper()}{what[1:]} is not available in a template."
    elif isinstance(node, nodes.Filter):
        fault = _filter_fault(node)
    elif isinstance(node, nodes.Test):
        fault = _test_fault(node)
    elif isinstance(node, nodes.For) and node.recursive:
        fault = "A loop cannot be recursive."
    elif isinstance(node, nodes.Getattr):
        fault = _attribute_fault(node)
    elif isinstance(node, nodes.Name):
        fault = _name_fault(node)
    elif isinstance(node, nodes.Const) and isinstance(node.value, float):
        fault = "" if isfinite(node.value) else "A number in the template is too large."
    if fault:
        raise TemplateRefused(fault, line=node.lineno)


def _call_fault(node: nodes.Call) -> str:
    called = node.node
    name = str(getattr(called, "attr", None) or getattr(called, "name", ""))
    name = _HABITS.get(name, name)
    hint = ""
    if name in FILTERS:
        hint = f" Use the filter: {{{{ … | {name} }}}}."
    elif name not in DEFAULT_NAMESPACE:
        hint = f' A column whose name has brackets is written row["{name} (…)"].'
    return f"A template cannot call functions.{hint}"


def _filter_fault(node: nodes.Filter) -> str:
    rule = FILTERS.get(node.name)
    if rule is None:
        known = list(FILTERS)
        hint = did_you_mean(node.name, known)
        return f"There is no filter {quoted(node.name)}.{hint} There are {named(known)}."
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        return f"The filter '{node.name}' takes no named arguments."
    if not rule.least <= len(node.args) <= rule.most:
        most = f" to {rule.most}" if rule.most > rule.least else ""
        return (
            f"The filter '{node.name}' takes {rule.least}{most} arguments, but has "
            f"{len(node.args)}."
        )
    return ""


def _test_fault(node: nodes.Test) -> str:
    if node.name in TESTS and not node.args and not node.kwargs:
        return ""
    if node.name in ("defined", "undefined"):
        return (
            "A column of the table is always defined: use {% if review %} to ask whether its cell "
            "has a text."
        )
    return f"There is no test {quoted(node.name)}. There are {named(TESTS)}."


def _attribute_fault(node: nodes.Getattr) -> str:
    of = node.node.name if isinstance(node.node, nodes.Name) else ""
    if of == ROW or (of == "loop" and node.attr in LOOP_FIELDS):
        return ""
    if of == "loop":
        return f"'loop' has no {quoted(node.attr)}. It has {named(LOOP_FIELDS)}."
    return (
        f"A template reads no attributes, such as '.{node.attr}'. A column whose name has a point "
        f'is written row["{of or "…"}.{node.attr}"].'
    )


def _name_fault(node: nodes.Name) -> str:
    if node.ctx != "load" and node.name in RESERVED:
        return f"The name '{node.name}' cannot be set: it has a meaning of its own."
    if node.name == "self":
        return "The name 'self' has a meaning of its own: write row[\"self\"] for the column."
    return ""


class CountingWork(NodeTransformer):
    """Insert the filters that count the work of operators, lists and loops."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - named for the node
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), _CONCAT)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802 - named for the node
        self.generic_visit(node)
        if [operand.op for operand in node.ops] in (["eq"], ["ne"]):
            equal = _filtered(node.expr, _EQUAL, node.ops[0].expr)
            return equal if node.ops[0].op == "eq" else nodes.Not(equal, lineno=node.lineno)
        node.expr = _filtered(node.expr, _SEARCHED)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, _SEARCHED)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802 - named for the node
        return _filtered(self.generic_visit(node), _BUILT)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802 - named for the node
        return _filtered(self.generic_visit(node), _BUILT)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802 - named for the node
        self.generic_visit(node)
        return _filtered(node, _BUILT) if node.ctx == "load" else node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - named for the node
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, _BUILT)
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802 - named for the node
        if _is_row(node.node):
            name = nodes.Const(node.attr, lineno=node.lineno)
            return nodes.Getitem(node.node, name, "load", lineno=node.lineno)
        return node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802 - named for the node
        self.generic_visit(node)
        if node.expr2 is None:
            node.expr2 = nodes.Const("", lineno=node.lineno)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - named for the node
        weight = sum(1 for _ in node.find_all(nodes.Node))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, _REPEATED, nodes.Const(weight, lineno=node.lineno))
        return node


def _filtered(node: Any, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)
