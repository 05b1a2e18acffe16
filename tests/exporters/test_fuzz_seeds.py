"""What the fuzzers begin with: there are seeds of each kind, and the reader agrees with the reference on them."""

from pathlib import Path

import pytest

from exporters.catalog import Engine, load_engine
from exporters.exposition import Reader
from exporters.inference.mapping import Mapper
from fuzz import corpus
from tests.helpers.exposition_oracle import disagreement

WANTED = frozenset().union(*(Mapper(load_engine(engine)).wanted for engine in Engine))


@pytest.mark.parametrize("kind", ["exposition", "targets", "facts"])
def test_there_are_seeds_each_in_a_file(kind: str, tmp_path: Path) -> None:
    count = corpus.write(kind, tmp_path / kind)
    assert count == len(list((tmp_path / kind).iterdir())) > 5


def test_on_the_seeds_the_reader_says_what_the_reference_says() -> None:
    reader = Reader(WANTED)
    for seed in corpus.seeds("exposition"):
        assert disagreement(reader, seed.decode(), WANTED) is None


def test_the_dictionary_is_as_libfuzzer_reads_it(tmp_path: Path) -> None:
    corpus.write_dictionary(tmp_path / "tokens.dict")
    lines = (tmp_path / "tokens.dict").read_text(encoding="ascii").splitlines()
    assert r'"\x7b"' in lines
    assert all(line.startswith('"\\x') and line.endswith('"') for line in lines)
