"""What can go wrong, as a tree.

RecommenderError
├── ConfigError           settings, inventory or tokens are wrong; the text names file, line and what to do
├── StoreUnavailable      the database cannot be read or written; intake answers 503
├── BacklogFull           more alerts wait than the limit; intake answers 503 and the sender tries again
├── Conflict              a workflow changed since it was read, or an illegal transition was asked for
├── NotFound              no such workflow, service, agent
├── Forbidden             it belongs to somebody else
├── Refused               what was asked for is not possible; the text says why and what is
├── PrometheusError       Prometheus did not answer, refused the query, or gave what cannot be used
└── ExecutorError         a change could not be carried out on a replica
    └── ExecutorTimeout   it did not end in time; whether it acted is unknown
"""


class RecommenderError(Exception):
    """Base of all errors here."""


class ConfigError(RecommenderError):
    """Settings, inventory or tokens are wrong."""


class StoreUnavailable(RecommenderError):
    """The database cannot be read or written."""


class BacklogFull(RecommenderError):
    """More alerts wait to be looked at than the limit allows."""


class Conflict(RecommenderError):
    """A workflow changed since it was read, or an illegal transition was asked for."""


class NotFound(RecommenderError):
    """No such thing."""


class Forbidden(RecommenderError):
    """It belongs to somebody else."""


class Refused(RecommenderError):
    """What was asked for is not possible."""


class PrometheusError(RecommenderError):
    """Prometheus did not answer, refused the query, or gave what cannot be used."""


class ExecutorError(RecommenderError):
    """A change could not be carried out on a replica."""


class ExecutorTimeout(ExecutorError):
    """It did not end in time; whether it acted is unknown."""
