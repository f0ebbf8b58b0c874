"""The base class of a family's models: what each must provide, and sensible answers to what it may.

Everything that the rest of the package may ask a model stands here: nothing is asked for that a
family has not promised. A family is a frozen dataclass that derives from `Model`, in a file or
folder named like its kind with the class as `PART`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from veribayes.errors import InputError
from veribayes.models._layout import Layout
from veribayes.predictive import Array, Predictive
from veribayes.tree import Data, IntArray, Simulation
from veribayes.tree.plain import plain as plain
from veribayes.tree.shown import Example, Shown

if TYPE_CHECKING:
    from veribayes.models._task import Design

PLACES = 8  # classes of the default distance; the last one is open
Groups = dict[str, npt.NDArray[np.bool_]]
Draw = Callable[[Data], Array]
Infer = Callable[[Data], Predictive]


@dataclass(frozen=True)
class Variable:
    """A named random quantity: event dimensions, support and unit."""

    name: str
    dims: tuple[str, ...]
    support: str  # real, positive, simplex, unit_interval, finite
    unit: str = "1"


@dataclass(frozen=True)
class Distance:
    """How far each observation lies from each query, in a unit of its family.

    Attributes:
        name: of the distance.
        labels: of its values, which are classes 0, 1, ….
        classes: (dataset or 1, query or 1, observation).
    """

    name: str
    labels: Sequence[str]
    classes: IntArray


@dataclass(frozen=True)
class Table:
    """Conditional probabilities that are known, and how a candidate is asked for them.

    Attributes:
        name: of the table.
        rows: labels of its rows.
        true: (row, category).
        context, query: what a candidate sees, one data set a row.
        at: of the answers (row, query) the query that is the row's.
    """

    name: str
    rows: Sequence[str]
    true: Array
    context: Any
    query: Any
    at: IntArray


class Model(ABC):
    """A family of joint laws of latents and data; every method is pure.

    Attributes:
        kind: of the family: the name of its file, and `kind` in a task file.
        described: whether a file can describe a model of this family, which `from_spec` then reads.
        notes: what a reader of results has to know, one sentence each.
        strengths: of generic defects by name, where the usual one is no defect in this family: a
            process that forgets by itself loses nothing by a window of eight.
    """

    kind: ClassVar[str]
    described: ClassVar[bool] = True
    notes: tuple[str, ...] = ()
    strengths: ClassVar[Mapping[str, int]] = {}

    # -- what a family must say --------------------------------------------------------------------

    @property
    @abstractmethod
    def latents(self) -> tuple[Variable, ...]:
        """What is unknown in a data set."""

    @property
    @abstractmethod
    def layout(self) -> Layout:
        """The columns of its data."""

    @abstractmethod
    def spec(self) -> dict[str, Any]:
        """Plain data that `from_spec` reads back; its hash identifies the model.

        Fields at their defaults may be left out.
        """

    @classmethod
    def from_spec(cls, spec: Any) -> Model:
        """The model that `spec` describes, where `described` says that there is one."""
        raise InputError("a model that a file can describe", f"'{cls.kind}'")

    def altered(self, changes: Mapping[str, Any]) -> Model:
        """The model with some fields of its specification replaced,
        for example by a wrong prior.
        """
        return self.from_spec({**self.spec(), **changes})

    @abstractmethod
    def default_design(self) -> Design:
        """Where predictions are wanted unless a task says otherwise."""

    @abstractmethod
    def defaults(self) -> dict[str, Any]:
        """Fields of a task in the family's way: `reference`, `second_route`, `rivals`,
        `wrong_prior`.
        """

    @abstractmethod
    def simulate(self, design: Design, seed: int, stream: str, index: IntArray) -> Simulation:
        """Draw the data sets numbered `index`; each is a function of (seed, stream, its number)
        alone.
        """

    @abstractmethod
    def inputs(self, data: Data, position: int) -> tuple[Any, Any]:
        """(context, query) that a candidate sees at the position with this number in
        `data.positions`.
        """

    @abstractmethod
    def program(self, *args: Any, **kwargs: Any) -> Any:
        """NumPyro program of one data set; its arguments are what `program_data` returns."""

    @abstractmethod
    def program_data(self, data: Data, position: int) -> dict[str, npt.NDArray[Any]]:
        """Keyword arguments of `program` for every data set at one position,
        first axis `dataset`.
        """

    @abstractmethod
    def latent_mask(self, data: Data, position: int) -> dict[str, npt.NDArray[np.bool_]]:
        """Latent name -> (dataset, *event): False where an entry is padding at this position."""

    @abstractmethod
    def conditional(
        self, latent_draws: Mapping[str, Array], data: Data, position: int
    ) -> Predictive:
        """Predictive (dataset, query) averaged over draws of the latents, name -> (dataset, draw,
        *event).
        """

    # -- what a family may say ---------------------------------------------------------------------

    @property
    def n_categories(self) -> int | None:
        """Width of the category axis of predictions (the widest variable), or None for a
        real-valued observation.
        """
        return None

    @property
    def given(self) -> bool:
        """Whether the model is one data set, the user's, and draws none."""
        return False

    @property
    def enumerated(self) -> bool:
        """Whether a latent has finitely many values: its posterior is a sum, and nothing for a
        sampler of real latents.
        """
        return False

    @property
    def moments(self) -> bool:
        """Whether its predictives state means and standard deviations and no shape."""
        return False

    @property
    def unasked(self) -> Mapping[str, str]:
        """What the model declares and no query asks for, name -> why; said in every result."""
        return {}

    @property
    def completing(self) -> str:
        """The exact engine that serves observations of which only some cells are known; empty where
        they have to be whole.
        """
        return ""

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of what queries ask for in turn; empty where queries are exchangeable."""
        return ()

    def require_data(self, data: Data) -> None:
        """Refuse data that the model cannot have: every engine asks for this first."""
        del data

    def applies(self, data: Data) -> npt.NDArray[np.bool_]:
        """Whether each query has an answer, (dataset, query); what is observed is not asked for."""
        return np.ones((len(data.index), self.layout.queries(data.arrays)), dtype=bool)

    def log_evidence(self, data: Data, infer: Infer) -> Array | None:
        """Log density of each data set's observations under the model, nats, (dataset,), given what
        the model does not draw; None: the family does not say how.

        Args:
            data: data sets of one size, at one position.
            infer: data -> exact predictive, (dataset, position, query).
        """
        del data, infer
        return None

    def redrawn(self, data: Data, design: Design, seed: int, index: IntArray) -> Data:
        """Data sets that the model draws in the place of others of one size: what it does not draw
        (inputs, a header, which nodes are observed) stays as it is there.

        Args:
            data: (dataset, ...), at one position.
            index: their numbers in the stream `replicate`, (dataset,).
        """
        sizes = tuple(int(n) for n in data.positions)
        drawn = self.simulate(replace(design, positions=sizes), seed, "replicate", index)
        return drawn.data

    def without_context(self, data: Data) -> Data:
        """The same queries behind no observation at all, one position: what the prior predictive is
        asked about.

        A family whose prior needs no engine answers `prior_predictive` instead.
        """
        return replace(data, positions=np.zeros(1, dtype=np.int64))

    def prior_predictive(self, data: Data) -> Predictive | None:
        """Predictive (dataset, position, query) that ignores the context; None: the exact engine is
        asked about none.
        """
        return None

    def extended(self, data: Data, size: int, draw: Draw) -> Data | None:
        """The contexts of one position with a further observation behind the first `size`; None:
        the family does not say how.

        Args:
            draw: data -> one draw of the outcome at each of its queries, (dataset, query).
        """
        return None

    def tempered(self, power: float) -> Model:
        """The model from which training draws contexts: known probabilities raised to a power; what
        is impossible stays so.

        Raises:
            InputError: a power other than 1 for a model without known probabilities.
        """
        if power != 1:
            raise InputError("temper: 1 for a model without known tables", f"{power}")
        return self

    def latent_values(self) -> dict[str, tuple[float, ...]]:
        """What each latent can be, where all of them have finitely many values; else nothing."""
        return {}

    def latent_nodes(self) -> dict[str, Array]:
        """All combinations of these values, (component,) each, as the exact mixture has them."""
        return {}

    def sentence(self) -> str:
        """The model in a sentence, a noun phrase without a full stop."""
        fields = [f"{key.replace('_', ' ')} {plain(value)}" for key, value in self.spec().items()]
        return f"{self.kind.replace('_', ' ')}: {', '.join(fields)}"

    def show(self, example: Example) -> Shown:
        """What one example's context is and what is asked: the arrays by name, and nothing made of
        their numbers.
        """
        rows = []
        for name, values in sorted(example.arrays.items()):
            if name not in self.layout.shared:
                size = " × ".join(map(str, values.shape)) or "one number"
                rows.append([name, _type(values), size])
        return Shown("Observed:", ("array", "values", "shape"), rows) if rows else Shown("")

    def widths(self, data: Data) -> IntArray:
        """Number of categories of each query, (query,); a narrower variable is padded by zeros."""
        return np.full(self.layout.queries(data.arrays), self.n_categories or 1)

    def labels(self, data: Data, query: int) -> tuple[str, ...]:
        """Names of the categories of a query; empty where they have none."""
        return ()

    def groups(self, data: Data, sizes: Groups) -> Groups:
        """In which predictions a divergence might concentrate, besides the context size: name ->
        (dataset, position, query).

        Args:
            sizes: the groups of one context size, to be combined with; axes may have length one.
        """
        return {}

    def distance(self, context: Any, query: Any) -> Distance:
        """How far each observation lies from each query:
        by default its place, counted from the last.
        """
        del query  # every query stands behind the last observation
        length = _length(context)
        back = np.arange(length)[::-1]
        most = min(length, PLACES)
        labels = [*map(str, range(1, most)), f"{most}+"]
        return Distance("places back", labels, np.minimum(back, most - 1)[None, None])

    def known_tables(self, length: int) -> Sequence[Table]:
        """Known conditional probabilities that answers imply; none where everything is unknown.

        Args:
            length: context size at which sequences are asked.
        """
        return ()


def log_in_turn(data: Data, name: str, first: int, infer: Infer) -> Array:
    """Log density of a sequence's observations from number `first` on, each given those before it,
    nats, (dataset,).

    Args:
        data: sequences of one size, at one position.
        infer: data -> predictive of the next observation.
    """
    size = int(data.positions[0])
    if size <= first:
        return np.zeros(len(data.index))
    asked = replace(data, positions=np.arange(first, size))
    following = data.arrays[name][:, first:size, None]
    logs = infer(asked)[:, :, 0].log_prob(following)
    return np.asarray(logs[..., 0].sum(-1))


def _length(context: Any) -> int:
    """Number of observations in what a candidate sees: the axis after that of the data sets.

    Raises:
        InputError: there is no such axis.
    """
    if isinstance(context, Mapping):
        arrays = list(context.values())
    else:
        arrays = [context] if hasattr(context, "shape") else list(vars(context).values())
    shape: tuple[int, ...] = np.shape(arrays[0]) if arrays else ()
    if len(shape) < 2:
        raise InputError("a context of observations", f"an array of shape {shape}")
    return int(shape[1])


def _type(values: npt.NDArray[Any]) -> str:
    names = {"f": "real", "i": "integer", "u": "integer", "b": "true or false"}
    return names.get(values.dtype.kind, str(values.dtype))
