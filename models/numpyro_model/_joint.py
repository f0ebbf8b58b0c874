"""The joint density of a program's latents and the entries that are seen, and the law of others.

Discrete latents are summed out here: every joint state of the shared ones, and those with a value
an entry entry by entry, since they are independent given the rest. A program is run once under
JAX's maps; the number of entries that are seen is an argument, so that one compilation serves all
positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from veribayes.models.numpyro_model._entries import Kind, Law, law_at, log_densities, log_seen
from veribayes.models.numpyro_model._filter import Chain, Recursion, filtered
from veribayes.models.numpyro_model._outline import Outline
from veribayes.models.numpyro_model._program import Program

Values = Mapping[str, Any]  # site -> value


class Seen(NamedTuple):
    """What is seen of a data set.

    Attributes:
        values: of the predicted site and of the inputs, in full; what is not seen may be anything.
        entries: which entries of the predicted site are seen, (T,).
        inputs: which entries of the inputs are seen, (T,).
        tilt: added to the log probabilities of a chain's states, (T, state); None: nothing.
    """

    values: Values
    entries: Any
    inputs: Any
    tilt: Any = None


class Weighted(NamedTuple):
    """Laws of an entry in all joint states of the discrete latents.

    Attributes:
        weights: (shared state, state of the entry).
        laws: arrays with these axes first.
    """

    weights: Any
    laws: Law


@dataclass(frozen=True)
class Joint:
    """Densities of a program.

    Attributes:
        program: it.
        outline: what its sites are.
        predict: the predicted site.
        kind: of its entries.
        sites: of one run in which everything is drawn.
        informative: names of the inputs whose law depends on latents.
    """

    program: Program
    outline: Outline
    predict: str
    kind: Kind
    sites: Mapping[str, Any]
    informative: frozenset[str] = frozenset()

    def log_joint(self, latents: Values, seen: Seen) -> Any:
        """Log density of the continuous latents and what is seen, discrete latents summed out."""
        from jax.scipy.special import logsumexp

        return logsumexp(self.by_state(latents, seen)[0])

    def law(self, latents: Values, seen: Seen, entry: Any) -> Weighted:
        """Law of one entry given the latents and what is seen."""
        import jax
        import jax.numpy as jnp

        def of_state(shared: Values, by_entry: Values) -> tuple[Law, Any]:
            return self._law_in_state({**latents, **seen.values, **shared, **by_entry}, seen, entry)

        log_shared, log_local = self.by_state(latents, seen)
        laws, own = self._over_states(of_state)
        if self.outline.chained:  # one own state, and in it a law for each pair of the chain's
            laws = {name: values[:, 0] for name, values in laws.items()}
            weights = own[:, 0]
        else:
            weights = jax.nn.softmax(log_local[..., entry], axis=1)
        return Weighted(jnp.exp(jax.nn.log_softmax(log_shared))[:, None] * weights, laws)

    def _law_in_state(self, values: Values, seen: Seen, entry: Any) -> tuple[Law, Any]:
        """Law of an entry in one joint state, and weights of its parts where a chain has some."""
        import jax
        import jax.numpy as jnp

        sites, recursion = self._traced(values, seen)
        if recursion is None:
            site = sites[self.predict]
            law = law_at(self.kind, site["fn"], site["value"], seen.entries, entry)
            return law, jnp.ones(())
        weights = jax.nn.softmax(recursion.log_weights[entry].reshape(-1))
        laws = {}
        for name, arrays in recursion.laws.items():
            each = arrays[entry]
            laws[name] = each.reshape(weights.size, *each.shape[2:])
        return laws, weights

    def chain_weights(self, latents: Values, seen: Seen) -> Any:
        """Probabilities of the chain's state at every step given all that is seen, (T, state): the
        derivative of the log evidence by the log probabilities of the states.
        """
        import jax
        import jax.numpy as jnp

        (states,) = self.outline.chained.values()

        def evidence(tilt: Any) -> Any:
            return self.log_joint(latents, seen._replace(tilt=tilt))

        return jax.grad(evidence)(jnp.zeros((self.outline.entries, len(states))))

    def state_weights(self, latents: Values, seen: Seen) -> tuple[Any, Any]:
        """Probabilities of the shared states (state,), and of each entry's own (state, entry)."""
        import jax

        log_shared, log_local = self.by_state(latents, seen)
        shared = jax.nn.softmax(log_shared)
        own = jax.nn.softmax(log_local, axis=1)
        return shared, (shared[:, None, None] * own).sum(0)

    def memory(self, latents: Values, seen: Seen) -> Any:
        """How much what the chain hands on depends on more than its last state."""
        import jax.numpy as jnp

        if not self.outline.chained:
            return jnp.zeros(())

        def of_state(shared: Values, by_entry: Values) -> Any:
            recursion = self._traced({**latents, **seen.values, **shared, **by_entry}, seen)[1]
            assert recursion is not None
            return recursion.off

        return self._over_states(of_state).max()

    def fixed(self, latents: Values, seen: Seen, entries: Any) -> tuple[Any, Law]:
        """Log density of what is seen given all latents, and the laws of the entries (query, …)."""
        import jax
        import jax.numpy as jnp

        sites = self._traced({**latents, **seen.values})[0]
        total = jnp.zeros(())
        for name in (self.predict, *self.outline.inputs):
            site = sites[name]
            total = total + self.seen_terms(name, site["fn"], site["value"], seen).sum()
        site = sites[self.predict]

        def of_entry(entry: Any) -> Law:
            return law_at(self.kind, site["fn"], site["value"], seen.entries, entry)

        return total, jax.vmap(of_entry)(entries)

    def by_state(self, latents: Values, seen: Seen) -> tuple[Any, Any]:
        """Log densities of each shared state (state,), and by entry (shared, own state, entry)."""
        from jax.scipy.special import logsumexp

        def of_state(shared: Values, by_entry: Values) -> tuple[Any, Any]:
            return self._terms({**latents, **seen.values, **shared, **by_entry}, seen)

        total, local = self._over_states(of_state)
        summed = logsumexp(local, axis=1)
        return total[:, 0] + summed.sum(-1), local

    def _over_states(self, function: Any) -> Any:
        """The function of every joint state, (shared state, state of the entry, …)."""
        import jax
        import jax.numpy as jnp

        shared = {name: jnp.asarray(states) for name, states in self.outline.shared.items()}
        by_entry = {name: jnp.asarray(states) for name, states in self.outline.by_entry.items()}

        def of_shared(state: Values) -> Any:
            if not by_entry:
                return _with_axis(function(state, {}))
            return jax.vmap(lambda own: function(state, own))(by_entry)

        return jax.vmap(of_shared)(shared) if shared else _with_axis(of_shared({}))

    def _terms(self, values: Values, seen: Seen) -> tuple[Any, Any]:
        """Log density of what belongs to no entry, and by entry (T,)."""
        import jax.numpy as jnp

        sites, recursion = self._traced(values, seen)
        total, local = jnp.zeros(()), jnp.zeros(self.outline.entries)
        if recursion is not None:
            total = total + recursion.log_evidence
        for name, site in sites.items():
            if site["type"] != "sample":
                continue
            if name in (self.predict, *self.outline.inputs):
                local = local + self.seen_terms(name, site["fn"], site["value"], seen)
            elif name in self.outline.local:
                each = site["fn"].log_prob(site["value"])
                local = local + each.reshape(self.outline.entries, -1).sum(-1)
            else:
                total = total + site["fn"].log_prob(site["value"]).sum()
        return total, local

    def seen_terms(self, name: str, law: Any, value: Any, seen: Seen) -> Any:
        """Log densities of what is seen of an observed site, by entry (T,)."""
        import jax.numpy as jnp

        if name == self.predict:
            return log_seen(self.kind, law, value, seen.entries)
        if name not in self.informative:
            return jnp.zeros(self.outline.entries)
        each = log_densities(law, value).reshape(self.outline.entries, -1).sum(-1)
        return jnp.where(seen.inputs, each, 0.0)

    def _traced(
        self, values: Values, seen: Seen | None = None
    ) -> tuple[Mapping[str, Any], Recursion | None]:
        """The sites of a run in which every site has its value; and what the recursion of a chain
        says of those inside it, where what is seen is given.
        """
        import jax
        import jax.numpy as jnp
        from numpyro import handlers

        as_arrays = {name: jnp.asarray(value) for name, value in values.items()}
        seeded = handlers.seed(self.program.call, jax.random.key(0))
        fixed = handlers.condition(seeded, data=as_arrays)
        with handlers.block():  # a sampler outside has its own trace
            if seen is None or not self.outline.chained:
                return handlers.trace(fixed).get_trace(**self.program.data), None
            recursion = filtered(self._chain(as_arrays, seen))
            with handlers.trace() as sites, recursion:
                fixed(**self.program.data)
        return sites, recursion.found

    def _chain(self, values: Values, seen: Seen) -> Chain:
        import jax.numpy as jnp

        ((name, states),) = self.outline.chained.items()
        inside = {self.predict, *self.outline.inside} - {name}
        tilt = seen.tilt
        if tilt is None:
            tilt = jnp.zeros((self.outline.entries, len(states)))
        given = {at: values[at] for at in inside}
        return Chain(name, states, self.predict, self.kind, given, seen.entries, tilt)


def _with_axis(tree: Any) -> Any:
    """A leading axis of length one."""
    import jax

    return jax.tree.map(lambda leaf: leaf[None], tree)
