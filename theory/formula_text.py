"""Exact expressions as text that says itself: Euler's number is ``exp(1)``, since SymPy's ``E`` reads as a symbol."""

from __future__ import annotations

import sympy
from sympy.printing.str import StrPrinter


class _Printer(StrPrinter):
    def _print_Exp1(self, _: sympy.Expr) -> str:
        return "exp(1)"


def formula_text(expression: sympy.Expr) -> str:
    """As SymPy writes it, in numbers, names, operators and functions alone."""
    return str(_Printer().doprint(expression))
