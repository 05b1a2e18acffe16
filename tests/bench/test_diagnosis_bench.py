"""The benchmark of diagnosis measures what it says: a whole fleet's evidence, several classes judged everywhere."""

from click.testing import CliRunner

from bench.diagnosis_bench import REPLICAS, answers, evidence_of, main
from recommender.diagnosis import diagnose


def test_several_classes_are_judged_on_every_replica() -> None:
    evidence = evidence_of(answers(4))
    diagnosis = diagnose(evidence)
    assert len(evidence.replica_readings) == 4
    assert len(diagnosis.findings) == 7
    assert sum(len(one.instances) == 4 for one in evidence.confirmed) >= 3
    assert all(len(placed.gpus) == 8 for placed in evidence.placements.values())


def test_a_line_is_printed_for_each_size() -> None:
    done = CliRunner().invoke(main, ["--times", "1"])
    assert done.exit_code == 0, done.output
    head, *lines = done.output.splitlines()
    assert head.split()[:2] == ["replicas", "series"]
    assert [int(line.split()[0]) for line in lines] == list(REPLICAS)
    assert all(float(figure) >= 0 for line in lines for figure in line.split()[2:])
