"""Who is judged: an engine, a construction, a shipped checkpoint, a checkpoint folder, a callable,
or recorded predictions.

Whatever it is, it becomes a `Candidate`: a name, an identity that a stored shard can bind to, what
may be asked of it, and a function from a batch of data sets to predictives. A candidate sees `Data`
or (context, query); neither holds outcomes, latents or references. A plain module of this folder is
a kind of candidate (`_adapter`); other distributions add kinds through the entry point
`veribayes.candidate`, an object with `accepts(thing)` and `candidate(thing, task)`.
"""

from __future__ import annotations

from veribayes.candidates._asking import accepts_seed as accepts_seed
from veribayes.candidates._asking import predict as predict
from veribayes.candidates._asking import queries_of as queries_of
from veribayes.candidates._asking import request_seed as request_seed
from veribayes.candidates._resolve import resolve as resolve
from veribayes.candidates.callables import of_callable as of_callable
from veribayes.candidates.constructions import of_construction as of_construction
from veribayes.candidates.constructions import searched as searched
from veribayes.candidates.engines import of_engine as of_engine
from veribayes.candidates.objects import import_object as import_object
from veribayes.candidates.objects import of_object as of_object
from veribayes.candidates.predictions import made_for as made_for
from veribayes.candidates.predictions import recorded as recorded
from veribayes.models._task import with_tolerance as with_tolerance
from veribayes.validation.candidate import Candidate as Candidate
