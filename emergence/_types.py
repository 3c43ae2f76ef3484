"""The array type of the whole project."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
