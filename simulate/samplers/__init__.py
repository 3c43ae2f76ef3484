"""Samplers of online SGD: what can be asked for, and which one a run takes.

``Direct`` is the literal algorithm in d dimensions, ``Reduced`` exact in law at a cost free of d, ``Leap``
approximate at a cost free of the number of samples, ``Auto`` the cheapest that will do.
"""

from .choose import AnySampler, Auto, Sampler, settled
from .direct import Direct
from .leap import Leap
from .reduced import Reduced

__all__ = ["AnySampler", "Auto", "Direct", "Leap", "Reduced", "Sampler", "settled"]
