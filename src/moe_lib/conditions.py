"""Conditions on rows, such as `C < 1e21 and S != 0.98`, read as a small language and never evaluated as code."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from moe_lib.errors import InputError

Mask = npt.NDArray[np.bool_]
NEAR = 1e-9  # relative difference at which numbers of a table count as equal
ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
ORDER: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def rows_where(columns: Mapping[str, "pd.Series[Any]"], text: str, option: str = "where") -> Mask:
    """Which rows fulfil a condition on named columns.

    Comparisons (< <= > >= == !=, in, not in) of columns, numbers and quoted strings, with + - * / **, and, or, not.
    `InputError` names the `option`, what cannot be read, and what is allowed.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(
            f"{option} = {text!r} is not a condition; write one such as 'C < 1e21 and S != 0.98'"
        ) from None
    try:
        mask = np.asarray(_condition(tree, columns), dtype=bool)
    except InputError as error:
        raise InputError(f"{option} = {text!r}: {error}") from None
    except (TypeError, OverflowError, ZeroDivisionError, RecursionError):
        raise InputError(f"{option} = {text!r}: compares or computes values that do not fit together") from None
    return np.broadcast_to(mask, len(next(iter(columns.values()))))


def _condition(node: ast.AST, columns: Mapping[str, "pd.Series[Any]"]) -> Any:
    if isinstance(node, ast.BoolOp):
        parts = [np.asarray(_condition(value, columns), dtype=bool) for value in node.values]
        return np.logical_and.reduce(parts) if isinstance(node.op, ast.And) else np.logical_or.reduce(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~np.asarray(_condition(node.operand, columns), dtype=bool)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        steps = zip(node.ops, sides, sides[1:], strict=False)
        return np.logical_and.reduce([_compared(op, left, right, columns) for op, left, right in steps])
    raise InputError(f"{ast.unparse(node)!r} is not a comparison")


def _compared(op: ast.cmpop, left: ast.expr, right: ast.expr, columns: Mapping[str, "pd.Series[Any]"]) -> Any:
    value = _value(left, columns)
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
            raise InputError(f"{ast.unparse(right)!r} has to be a list such as (0, 0.5)")
        found = np.logical_or.reduce([_equal(value, _value(one, columns)) for one in right.elts])
        return found if isinstance(op, ast.In) else ~found
    other = _value(right, columns)
    if isinstance(op, ast.Eq | ast.NotEq):
        found = _equal(value, other)
        return found if isinstance(op, ast.Eq) else ~found
    if type(op) not in ORDER:
        raise InputError(f"{ast.unparse(ast.Compare(left, [op], [right]))!r} has to use < <= > >= == != or in")
    return np.asarray(ORDER[type(op)](value, other))


def _equal(one: Any, other: Any) -> Mask:
    try:
        return np.isclose(np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64), rtol=NEAR, atol=0)
    except (ValueError, TypeError):
        return np.asarray(np.asarray(one, dtype=object) == np.asarray(other, dtype=object), dtype=bool)


def _value(node: ast.AST, columns: Mapping[str, "pd.Series[Any]"]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float | str):
        return node.value if isinstance(node.value, str) else float(node.value)
    if isinstance(node, ast.Name):
        if node.id not in columns:
            raise InputError(f"{node.id!r} is not a column; there are {', '.join(map(str, columns))}")
        return columns[node.id].to_numpy()
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, columns)
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return ARITHMETIC[type(node.op)](_value(node.left, columns), _value(node.right, columns))
    raise InputError(f"{ast.unparse(node)!r} cannot be read; only columns, numbers, strings and + - * / ** are allowed")
