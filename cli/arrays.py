"""Arrays of numbers from files of the user: ``.npy``, or ``.csv`` with commas between the numbers of a row."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np


def read_array(path: str, what: str) -> np.ndarray:
    """The numbers in a file; called ``what`` in messages.  Pickled content is refused.

    Raises
    ------
    ValueError
        It cannot be read, or holds something else.
    """
    table = path.lower().endswith(".csv")
    form = "table of numbers separated by commas" if table else ".npy array of numbers"
    try:
        if table:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of an empty file
                rows = np.loadtxt(Path(path).read_text(encoding="utf-8").splitlines(), delimiter=",", ndmin=2)
        else:
            with open(path, "rb") as file:  # of a damaged one NumPy would leave it open
                rows = np.load(file, allow_pickle=False)
    except OSError as error:
        raise ValueError(f"cannot read the {what} {path}: {error.strerror or error}") from None
    except Exception:  # of a dozen kinds, by zipfile, and the tokenizer that reads NumPy's headers
        raise ValueError(f"the {what} {path} are not a plain {form}") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu":
        raise ValueError(f"the {what} {path} are not a plain {form}")
    return rows
