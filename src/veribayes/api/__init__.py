"""The Python surface, which the commands stand on as well: a file for each thing that is asked."""

from __future__ import annotations

from veribayes.api._documents import document as document
from veribayes.api._documents import write_folder as write_folder
from veribayes.api._documents import write_reports as write_reports
from veribayes.api._options import split_options as split_options
from veribayes.api._options import split_program as split_program
from veribayes.api._questions import compare as compare
from veribayes.api._questions import identify as identify
from veribayes.api._questions import open_run as open_run
from veribayes.api._questions import probe as probe
from veribayes.api._questions import summary as summary
from veribayes.api._reference import Reference as Reference
from veribayes.api._reference import number_of_data_sets as number_of_data_sets
from veribayes.api._reference import on_data as on_data
from veribayes.api._reference import reference as reference
from veribayes.api._tasks import load as load
from veribayes.api._tasks import task as task
from veribayes.api._track import Track as Track
from veribayes.api._track import track as track
from veribayes.api._verify import Estimate as Estimate
from veribayes.api._verify import Result as Result
from veribayes.api._verify import recorded as recorded
from veribayes.api._verify import verify as verify
from veribayes.models._contexts import with_contexts as with_contexts
from veribayes.models._task import Task as Task
