"""How many series the rules add: of a replica that serves, has every limit and is in trouble, and of a GPU that tells
all that there is."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.rules_load import STEP_SECONDS, recommender_page, replica_states

GPU_PAGE = Path(__file__).parents[1] / "data" / "gpu" / "page.prom"
STEPS = 30
PER_REPLICA, PER_GPU = 150, 31
# DCGM's profiling counters, which OptiInfra's own exporter does not have.
PROFILING = ("DCGM_FI_PROF_SM_ACTIVE", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "DCGM_FI_PROF_DRAM_ACTIVE")
PLACE = {"service": "service-0", "instance": "0:8000", "node": "n1"}


def series(pages: list[bytes], target: dict[str, str]) -> Iterator[dict[str, str]]:
    """What is scraped in `STEPS` steps, as promtool's input; a page that is the last stays."""
    values: dict[str, list[str]] = {}
    for page in pages:
        for family in text_string_to_metric_families(page.decode()):
            for sample in family.samples:
                labels = {**sample.labels, **target}
                text = ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items())
                values.setdefault(f"{sample.name}{{{text}}}", []).append(repr(float(sample.value)))
    for name, found in values.items():
        yield {"series": name, "values": " ".join(found + found[-1:] * (STEPS - len(found)))}


@pytest.fixture(scope="module")
def scraped() -> list[dict[str, str]]:
    """Two replicas of each captured state on a node with GPUs, with the recommender's objectives and knobs."""
    found = []
    for number, pages in enumerate(replica_states("probe")):
        for replica in (2 * number, 2 * number + 1):
            place = {**PLACE, "instance": f"{replica}:8000", "job": "llm-probe"}
            found += series(pages[:STEPS], place)
    found += series([recommender_page(12)], {"job": "recommender"})
    found += series([GPU_PAGE.read_bytes()], {"node": "n1", "instance": "n1:8003", "job": "node"})
    gpu = 'gpu="1",UUID="GPU-00000000-0000-0000-0000-000000000001"'
    found += [
        {"series": f'{name}{{{gpu},node="n1",instance="n1:9400",job="dcgm"}}', "values": f"0.5x{STEPS}"}
        for name in (*PROFILING, "DCGM_FI_DEV_SM_CLOCK")
    ]
    return found


def most(level: str, labels: str, budget: int) -> dict[str, object]:
    """The check that what has most series of a level has no more than its budget."""
    counted = f'max(count by ({labels}) ({{__name__=~"{level}:.+"}}))'
    return {
        "expr": f"{counted} <= {budget} and {counted} > {budget // 2}",  # none at all would be within every budget
        "eval_time": f"{STEP_SECONDS * (STEPS - 1)}s",
    }


def test_a_replica_and_a_gpu_have_no_more_series_than_their_budget(
    promtool: Callable[..., str], rule_files: list[Path], scraped: list[dict[str, str]], tmp_path: Path
) -> None:
    checks = [most("replica", "service, instance", PER_REPLICA), most("gpu", "node, gpu", PER_GPU)]
    document = {
        "rule_files": [str(path) for path in rule_files],
        "evaluation_interval": f"{STEP_SECONDS}s",
        "tests": [
            {
                "interval": f"{STEP_SECONDS}s",
                "input_series": scraped,
                # `absent` so that the figure itself need not be known.
                "promql_expr_test": [
                    {**check, "expr": f"absent({check['expr']})", "exp_samples": []} for check in checks
                ],
            }
        ],
    }
    path = tmp_path / "budget.test.yml"
    path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    promtool("test", "rules", path)
