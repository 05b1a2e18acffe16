"""A replica's configuration file, read whole or not at all."""

from pathlib import Path

from recommender.contracts import Configuration, ReplicaTarget
from recommender.executors import engine_config, files
from recommender.executors.env_config import EnvConfig
from recommender.executors.values import scalars


def configuration(replica: ReplicaTarget) -> Configuration | None:
    """What the file of a replica holds; None where the inventory names none, or there is none yet.

    Raises ExecutorError for a file that cannot be read, or is not what it should be.
    """
    if not replica.config_file:
        return None
    path = Path(replica.config_file)
    text = files.read_text(path)
    if text is None:
        return None
    config = engine_config.format_of(path, replica.engine)
    found = config.read(text, str(path))
    return Configuration(
        file=path.name,
        values=scalars(found),
        keys=frozenset(found),
        variables=isinstance(config, EnvConfig),
        complete=replica.config_complete,
    )
