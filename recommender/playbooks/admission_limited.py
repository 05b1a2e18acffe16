"""P04: the batch limit keeps requests waiting while KV has room."""

from recommender.playbooks.admission_policy import LOOSER_POLICY, LOWER_CONSERVATIVENESS
from recommender.playbooks.batch_limit import RAISE_BATCH_LIMIT
from recommender.playbooks.batch_with_memory import RAISE_BOTH
from recommender.playbooks.graphs import RAISE_GRAPHS
from recommender.playbooks.scaling import SCALE_OUT_FOR_LOAD

PLAYBOOKS = (
    RAISE_BATCH_LIMIT,
    RAISE_BOTH,
    LOWER_CONSERVATIVENESS,
    LOOSER_POLICY,
    RAISE_GRAPHS,
    SCALE_OUT_FOR_LOAD,
)
