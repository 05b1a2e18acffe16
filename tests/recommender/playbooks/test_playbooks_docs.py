"""The page of playbooks says what the registry has, no more and no less."""

from click.testing import CliRunner

from recommender.inventory import TuningConfig
from recommender.knobs import engines, load
from recommender.model import Change
from recommender.playbooks import PLAYBOOKS, Advice
from recommender.playbooks.docs import PAGE, build, described, playbooks_page, settings
from recommender.sizing import NotApplicable
from rules.catalog import Bottleneck
from tests.recommender.playbooks.made import ONE, TWO, context, evidence, facts, finding

REGISTERED = {each.id: each for playbooks in PLAYBOOKS.values() for each in playbooks}
KNOBS = {knob.name for engine in engines() for knob in load(engine).knobs}


def test_the_page_is_what_the_registry_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == playbooks_page(), "run: optiinfra build playbooks"
    assert CliRunner().invoke(build, ["--check"]).exit_code == 0


def test_each_playbook_is_described_once_and_nothing_else_is() -> None:
    assert described().keys() == REGISTERED.keys()
    for bottleneck, playbooks in PLAYBOOKS.items():
        assert len({each.id for each in playbooks}) == len(playbooks), bottleneck


def test_what_can_change_names_its_knob_and_what_cannot_names_none() -> None:
    for identifier, row in described().items():
        assert (row.knob is not None) == (REGISTERED[identifier].effects is not None), identifier
        assert row.knob is None or row.knob in KNOBS
        assert row.knob is None or row.risk in {"restart", "quality"}
        assert bool(REGISTERED[identifier].rollback) == (row.knob is not None), identifier


def test_each_playbook_says_something_of_a_service_of_which_nothing_is_known_and_changes_nothing() -> None:
    """Unknown never permits: for no engine is there a change, an error or a figure that was not read."""
    seen = evidence({})
    for engine in (*engines(), "dynamo"):
        if engine == "lmcache":
            continue
        given = context(engine if engine != "dynamo" else "vllm")
        for bottleneck, playbooks in PLAYBOOKS.items():
            for each in playbooks:
                outcome = each.size(seen, finding(bottleneck, ONE, TWO), given)
                assert isinstance(outcome, Advice | NotApplicable), (each.id, engine)
                assert (outcome.text if isinstance(outcome, Advice) else outcome.reason).strip(), each.id


def test_a_change_is_of_the_knob_that_the_page_names() -> None:
    full = evidence(
        {
            "gpu:gpu_memory_used:ratio": 0.98,
            "gpu:gpu_memory_free_bytes": 1.6e9,
            "replica:llm_kv_cache_capacity_tokens": 400_000.0,
            "replica:llm_kv_cache_usage:max2m": 0.5,
            "replica:llm_kv_cache_usage:avg2m": 0.5,
            "replica:llm_requests_running:max2m": 100.0,
            "replica:llm_requests_running:max6h": 100.0,
            "replica:llm_request_prompt_tokens:mean_5m": 900.0,
        }
    )
    settings = {"kv_cache_memory_fraction": 0.92, "max_batched_tokens": 8192, "max_running_requests": 256}
    given = context(version="0.32.0", known=facts(), weight_quantization="none", graph_max_batch=512, **settings)
    rows, found = described(), set()
    for each in PLAYBOOKS[Bottleneck.GPU_MEMORY_PRESSURE]:
        outcome = each.size(full, finding(Bottleneck.GPU_MEMORY_PRESSURE, ONE, TWO), given)
        if isinstance(outcome, Change):
            assert outcome.knob == rows[each.id].knob
            found.add(each.id)
    assert found == {"P01.2", "P01.3", "P01.4", "P01.5", "P01.6"}


def test_every_setting_of_tuning_is_on_one_of_the_two_pages() -> None:
    plans = (PAGE.parent / "plans.md").read_text(encoding="utf-8")
    grouped = {"playbooks", "success", "ledger"}  # by their own keys; the ledger has a page of its own
    for name in TuningConfig.model_fields.keys() - grouped:
        assert (name in settings()) != (f"| `{name}` |" in plans), name
    assert settings().keys() <= TuningConfig.model_fields.keys()
