"""What engines that alter or sample another engine's output share."""

from __future__ import annotations

from veribayes import registry
from veribayes.models._task import Task
from veribayes.tree import Branch, Data


def inner(of: str | None, task: Task, data: Data, seed: int) -> Branch:
    """The output of the engine `of`, or of the task's second route."""
    branch: Branch = registry.load("engine", of or task.second_route)()(task, data, seed=seed)
    return branch
