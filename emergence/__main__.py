"""``python -m emergence``."""

import sys

from .cli import main

sys.exit(main())
