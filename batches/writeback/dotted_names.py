"""Dotted names in templates of rows: `row.author.name` is read as `row["author"]["name"]`."""

from collections.abc import Iterator

from jinja2 import Environment, TemplateSyntaxError, nodes

from batches.inputs.row_templates.sources import TemplateRefused

ROW = "row"
# The fields of Jinja's `loop` stay attributes.
LOOP = "loop"

Path = tuple[str, ...]

# It reads templates and renders none.
_JINJA = Environment(autoescape=True, keep_trailing_newline=True)


def with_items(source: str) -> str:
    """Return a template that reads items in place of attributes.

    A template cannot read attributes, so that nothing but the values in a mapping is in its reach.
    """
    try:
        tokens = list(_JINJA.lex(source))
    except TemplateSyntaxError:
        # Compiling it says what is wrong, and where.
        return source
    pieces: list[str] = []
    before, after_dot = "", False
    for _, kind, text in tokens:
        if kind == "whitespace":
            pieces.append(text)
        elif after_dot and kind == "name" and before != LOOP:
            pieces.append(f'["{text}"]')
            before, after_dot = "]", False
        else:
            if after_dot:
                pieces.append(".")
            after_dot = kind == "operator" and text == "."
            if not after_dot:
                pieces.append(text)
                before = text
    return "".join(pieces) + ("." if after_dot else "")


def paths_in(source: str) -> Iterator[Path]:
    """Yield the paths from the row that a template reads, after `with_items`.

    The variable of a loop stands for what the loop is over. Raise TemplateRefused.
    """
    tree = _parsed(source)
    loops: dict[str, Path] = {}
    for loop in tree.find_all(nodes.For):
        if isinstance(loop.target, nodes.Name) and (path := _path(loop.iter, loops)):
            loops[loop.target.name] = path
    for node in tree.find_all((nodes.Getitem, nodes.Name)):
        if path := _path(node, loops):
            yield path


def _parsed(source: str) -> nodes.Template:
    try:
        return _JINJA.parse(source)
    except TemplateSyntaxError as error:
        raise TemplateRefused(f"The template is not valid: {error}.", line=error.lineno) from error
    except RecursionError as error:
        raise TemplateRefused("The template is nested too deep.") from error


def _path(node: nodes.Node, loops: dict[str, Path]) -> Path:
    """Return the names from the row to an expression; empty for any other expression."""
    if isinstance(node, nodes.Name):
        return () if node.name == ROW else loops.get(node.name, (node.name,))
    if isinstance(node, nodes.Filter) and node.node is not None:
        return _path(node.node, loops)
    if not isinstance(node, nodes.Getitem):
        return ()
    above = _path(node.node, loops)
    is_row = isinstance(node.node, nodes.Name) and node.node.name == ROW
    if not above and not is_row:
        return ()
    name = node.arg.value if isinstance(node.arg, nodes.Const) else None
    return (*above, name) if isinstance(name, str) else above
