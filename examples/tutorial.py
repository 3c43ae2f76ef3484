"""From a problem to a checked figure: run it whole, or cell by cell in an editor that knows ``# %%``."""

# %% A teacher of three orthogonal directions, strengths 1/p, and a student of eight neurons
from pathlib import Path

from emergence import Activation, Leap, Problem, Run, Teacher, execute, init_quantiles, overlay
from emergence.figures.overlay import data_of, draw
from emergence.figures.style import save

problem = Problem(Activation("h4"), Teacher.power_law(3, beta=1.0), d=128, m=8)

# %% Theory: when is each direction learned, over random initialisations?
print(init_quantiles(problem, (0.25, 0.5, 0.75)))

# %% Simulation: seven runs of online SGD from random initialisations, at a step size of little noise
run = Run(problem, step_size=2e-8, samples=3_000_000_000, seeds=7, sampler=Leap())
simulation = execute(run)
print(simulation)

# %% Theory beside simulation, from the same initial directions; the check: do they agree within 15 %?
comparison = overlay(problem, simulation, tolerance=0.15)
print(comparison)
assert comparison.agreement.verdict == "agree", comparison.agreement.reason

# %% The figure
save(draw(data_of(comparison)), Path("tutorial.png"), {"Title": "Theory over simulation"})
